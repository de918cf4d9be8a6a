"""Parts of `~crstack.stack.CRStack`: the arguments of its calls, and the work of its stages."""
