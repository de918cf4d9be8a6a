"""``.. published:: NAME`` shows a table of docs/tables and its command, and says if it is older than the code."""

import re
import sys
from pathlib import Path

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import publish

#: what is said above a table that is not current
NOTES = {
    "missing": "This table has not been made yet. The command below prints it.",
    "without a digest": "It is not known for which version of the code this table was made.",
    "older than the code": "The code has changed since this table was made. The command below makes a new one.",
}


class Published(SphinxDirective):
    """Show a table that ``benchmarks/publish.py`` has written."""

    required_arguments = 1

    def run(self):
        """Nodes of the note, the table and its command."""
        known = {table.name: table for table in publish.PUBLISHED}
        table = known.get(self.arguments[0])
        if table is None:
            raise self.error(f"NAME must be one of {', '.join(known)}; got {self.arguments[0]}")
        self.env.note_dependency(str(table.path))
        state = publish.state_of(table)
        lines = ["", f"Printed by ``python benchmarks/{table.command}``.", ""]
        if table.path.exists():
            # a dash alone would be a list; it stays a dash with a backslash in place of the space before it
            text = re.sub(r" -(?= |$)", r"\\-", table.path.read_text(encoding="utf-8"), flags=re.MULTILINE)
            lines = ["", *text.splitlines(), *lines]
        if state != "current":
            lines = [".. note::", "", f"   {NOTES[state]}", "", *lines]
        node = nodes.container(classes=["published"])
        self.state.nested_parse(StringList(lines, source=str(table.path)), self.content_offset, node)
        return [node]


def setup(app):
    """Register the directive."""
    app.add_directive("published", Published)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
