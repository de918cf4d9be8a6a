"""Let a reference name an object by its last words, as ``CRStack.detect``, where only one object fits."""

from sphinx.util.nodes import make_refnode

PACKAGE = "crstack."


def resolve(app, env, node, contnode):
    """Reference node of a short name; None leaves it to others, and to the warning."""
    if node.get("refdomain") != "py":
        return None
    target = node["reftarget"].removeprefix(PACKAGE)
    objects = env.domains["py"].objects
    found = {name for name in objects if name == target or name.endswith(f".{target}")}
    # a class is documented where it is public, and may have aliases
    found = {name for name in found if not objects[name].aliased}
    if len(found) != 1:
        return None
    name = found.pop()
    entry = objects[name]
    return make_refnode(app.builder, node["refdoc"], entry.docname, entry.node_id, contnode, name)


def setup(app):
    """Register the resolver."""
    app.connect("missing-reference", resolve)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
