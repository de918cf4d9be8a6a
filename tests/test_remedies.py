"""What messages advise: each argument, option and key that they name exists, and measures what it promises."""

import argparse
import ast
import dataclasses
import inspect
import re
import warnings
from functools import cache
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import CCDData
from support.stacks import stack_of

import crstack
from crstack import CRStack, JointPosterior, batch, testing
from crstack.cli.parser import make_parser
from crstack.config.keys import REQUIREMENTS, TOP
from crstack.datasets import make_stack
from crstack.exceptions import InputError
from crstack.exposures.bad_values.saturation import find_plateau

SOURCES = sorted(Path(crstack.__file__).parent.rglob("*.py"))
#: texts that are no messages: pages, representations and simulations
NO_MESSAGES = {"report/page.py", "datasets/simulated.py", "cli/parser.py", "cli/template.py", "pipeline/page.py"}
ARGUMENT = re.compile(r"(?<![\w.*<{])([a-z][a-z_0-9]+)=(?!=)")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
KEY = re.compile(r"\b([a-z]+_[a-z_]+|differences|saturation|crmethod|outputs|compression|joint):(?= |\)|$)")
#: words before "=" that are no arguments, or those of ccdproc
NO_ARGUMENTS = {"min2d", "frozen", "style", "disregard_nan"}
#: names in the history of masks
NO_KEYS = {"cr_coincidences"}


def texts_of(path):
    """Texts of a module that may be parts of messages: all but its docstrings."""
    tree = ast.parse(path.read_text())
    documented = ast.Module | ast.ClassDef | ast.FunctionDef
    docs = {id(node.body[0].value) for node in ast.walk(tree) if isinstance(node, documented) and _has_text(node)}
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in docs
            and " " in node.value
        ):
            yield node.value


def _has_text(node):
    return bool(node.body) and isinstance(node.body[0], ast.Expr) and isinstance(node.body[0].value, ast.Constant)


def messages():
    for path in SOURCES:
        if str(path.relative_to(Path(crstack.__file__).parent)) not in NO_MESSAGES:
            yield from ((path.name, text) for text in texts_of(path))


def parameters_of_public_names():
    """Names of the parameters of public functions, classes and methods."""
    found = set()
    objects = [getattr(crstack, name) for name in crstack.__all__]
    objects += [getattr(module, name) for module in (batch, testing, crstack.io) for name in module.__all__]
    for one in objects:
        found |= set(inspect.signature(one).parameters) if callable(one) else set()
        if inspect.isclass(one):
            for _, method in inspect.getmembers(one, inspect.isroutine):
                try:
                    found |= set(inspect.signature(method).parameters)
                except ValueError:  # of C
                    continue
            found |= {field.name for field in dataclasses.fields(one)} if dataclasses.is_dataclass(one) else set()
    # options that are handed on
    for typed in (crstack.stages.argument_types.DetectOptions, crstack.stages.argument_types.CombineOptions):
        found |= set(typed.__annotations__)
    return found


def options_of_the_command():
    found, parsers = set(), [make_parser()]
    while parsers:
        parser = parsers.pop()
        for action in parser._actions:
            found |= set(action.option_strings)
            if isinstance(action, argparse._SubParsersAction):
                parsers += action.choices.values()
    return found


def test_arguments_that_messages_name_exist():
    known = parameters_of_public_names() | NO_ARGUMENTS
    named = {(name, one) for name, text in messages() for one in ARGUMENT.findall(text)}
    assert len(named) > 20
    assert {pair for pair in named if pair[1] not in known} == set()


def test_options_that_messages_name_exist():
    known = options_of_the_command()
    named = {(name, one) for name, text in messages() for one in OPTION.findall(text)}
    assert len(named) > 10
    assert {pair for pair in named if pair[1] not in known} == set()


def test_keys_that_messages_name_exist():
    known = {key.name for key in (*TOP, *REQUIREMENTS)} | NO_KEYS
    named = {(name, one) for name, text in messages() for one in KEY.findall(text)}
    assert len(named) > 5
    assert {pair for pair in named if pair[1] not in known} == set()


#: the smaller image suffices where the levels are given; too few stars of it show a wrong throughput
SMALL, SHAPE = (120, 140), (180, 200)
LEVELS = (100.0, 140.0, 260.0)


@cache
def unequal(shape):
    """Exposures whose sky, throughput and pointing differ."""
    options = {"flux_factors": (0.7, 1, 1.3), "backgrounds": [one * u.electron for one in LEVELS]}
    return make_stack("imaging", shape, hit_rate=0.01, seed=8, gain=1 * u.electron / u.adu, **options)


def said(simulated, method, options):
    """Warnings of a detection about given or missing terms."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        stack_of(simulated, **options).detect(method)
    found = [str(one.message) for one in caught]
    return [one for one in found if re.search("not fit the exposures|nor measured", one.replace("\n", " "))]


@pytest.mark.parametrize(
    ("options", "off", "advice"),
    [
        ({"differences": None}, {}, ['differences="auto"']),
        ({"backgrounds": None}, {}, ['backgrounds="auto"']),
        ({"backgrounds": (100, 0, 0)}, {}, ['backgrounds="auto"']),
        ({"backgrounds": (100, 0, 0), "differences": None}, {}, ['backgrounds="auto"', 'differences="auto"']),
        ({}, {"measure": False}, ["measure=True"]),
        ({}, {"excess": False}, ["excess=True"]),
        (
            {"differences": None},
            {"measure": False, "excess": False},
            ['differences="auto"', "measure=True", "excess=True"],
        ),
        ({"backgrounds": None}, {"measure": False}, ['backgrounds="auto"', "measure=True"]),
        ({"flux_factors": (3, 1, 1)}, {}, ['flux_factors="auto"']),
        ({"flux_factors": (3, 1, 1), "differences": None}, {}, ['flux_factors="auto"']),
    ],
)
def test_advice_about_terms_is_complete(options, off, advice):
    """The settings that a warning names, and no others, end the warning."""
    quick = {"n_fits": 1, "n_sweeps": 1}  # warnings do not depend on the fit of the population
    simulated = unequal(SHAPE if "flux_factors" in options else SMALL)
    found = said(simulated, JointPosterior(**off, **quick), options)
    chosen = [one for one in found if all(words in one for words in advice)]
    assert chosen
    named = dict(re.findall(r'(\w+)="(auto)"', chosen[0].split("give ")[-1]))
    switched = dict.fromkeys(re.findall(r"(\w+)=True of JointPosterior", chosen[0]), True)
    assert [*(f'{name}="auto"' for name in named), *(f"{name}=True" for name in switched)] == advice
    subject = chosen[0].split(" as given")[0] if " as given" in chosen[0] else chosen[0][:25]
    again = said(simulated, JointPosterior(**{**off, **switched}, **quick), {**options, **named})
    assert not any(one.startswith(subject) for one in again)


def test_words_of_auto_that_need_a_switch():
    """The reason for the longer advice: these two terms are not measured alone."""
    for name in ("backgrounds", "seeing"):
        with pytest.raises(InputError, match=f'differences must be "auto" for {name}="auto"'):
            crstack.equalize.Equalization(**{name: "auto", "differences": None})


@pytest.mark.parametrize("top", [65535.0, 40_000.56, 1_048_575.0, 1_234_567.9, 0.98765444])
def test_the_saturation_of_the_advice_makes_the_values_bad(top):
    rng = np.random.default_rng(1)
    images = [rng.normal(top / 100, top / 1000, (40, 50)) for _ in range(3)]
    for image in images:
        image[10:13, 20:23] = top
    assert find_plateau(images[0]).n_pixels == 9
    noise = {"gain": 1e9 / top * u.electron / u.adu, "readnoise": top / 1000 * u.adu}
    ccds = [CCDData(image, unit=u.adu) for image in images]
    with pytest.warns(match="exposures seem to be saturated") as caught:
        CRStack(ccds, **noise)
    (advice,) = [str(one.message) for one in caught if "seem to be" in str(one.message)]
    level, option, key = re.search(
        r"saturation=(\S+) \* u.* --saturation (\S+), .* saturation: (\S+)\)", advice
    ).groups()
    assert level == option == key
    stack = CRStack(ccds, saturation=float(level) * u.adu, **noise)
    assert stack.exposures.saturated[:, 10:13, 20:23].all()
    assert stack.exposures.saturated.sum() == 27
