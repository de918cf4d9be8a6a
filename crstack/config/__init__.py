"""The parameter file: documents, old names, keys, checked values, parts."""
