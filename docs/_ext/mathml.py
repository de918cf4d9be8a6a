"""Formulas as MathML, which browsers draw by themselves: no script is fetched from a network."""

import re

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml

#: commands of LaTeX that the translator of docutils does not know, and what stands for them
SUBSTITUTES = {r"\\[bB]igg?[lr]?(?![a-zA-Z])": "", r"\\dots(?![a-zA-Z])": r"\\ldots "}


def mathml_of(formula, block):
    """MathML of a formula in LaTeX.

    Raises
    ------
    docutils.utils.math.MathError
        If the formula has a command that is not known.
    """
    formula = " ".join(formula.split())
    for pattern, substitute in SUBSTITUTES.items():
        formula = re.sub(pattern, substitute, formula)
    if block and "&" in formula:
        formula = rf"\begin{{aligned}} {formula} \end{{aligned}}"
    return tex2mathml(formula, as_block=block)


def visit_inline(translator, node):
    """Write a formula within a line."""
    translator.body.append(f'<span class="inline-formula">{mathml_of(node.astext(), block=False)}</span>')
    raise nodes.SkipNode


def visit_block(translator, node):
    """Write a formula on a line of its own."""
    translator.body.append(f'<div class="formula">{mathml_of(node.astext(), block=True)}</div>\n')
    raise nodes.SkipNode


def setup(app):
    """Register the renderer."""
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
