"""Parts of the stages of `~crstack.stack.CRStack`: arguments of its calls, complete masks, views of its results."""
