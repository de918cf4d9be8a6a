"""Values that the light of the sky does not give: saturated, bloomed, dead, too low, or with a lost zero."""
