"""Draw the figures of docs/explanation/joint_example.rst: ``python docs/make_joint_figures.py``.

They are kept in docs/images, so that building the documentation runs nothing.
"""

from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from crstack import CRStack, JointPosterior, PyCosmicDetector
from crstack.datasets import make_stack
from crstack.joint import Counts
from crstack.joint.candidates import find_candidates
from crstack.joint.neighbourhoods import N_CHARGES, N_NUMBERS
from crstack.joint.odds import log_odds_alone
from crstack.plotting import save_figure

IMAGES = Path(__file__).parent / "images"
#: colours that colour-blind readers distinguish (Okabe & Ito)
BLUE, ORANGE, GREEN, GREY = "#0072b2", "#d55e00", "#009e73", "#7f7f7f"
READNOISE = 3.4  # electrons
TITLES = {"ifu": "fibres", "imaging": "stars on a sky"}
SIGMAS = np.linspace(-5, 25, 61)


def make_results(scene="ifu", seed=5, shape=(400, 500)):
    """A simulated stack, its masks by M.M.Cosmic, and those by the joint decision."""
    simulated = make_stack(scene, shape=shape, hit_rate=0.02, seed=seed)
    noise = {"gain": simulated.gain, "readnoise": simulated.readnoise}
    classic, joint = (CRStack(simulated.exposures, **noise) for _ in range(2))
    classic.detect(aux=PyCosmicDetector())
    joint.detect(method=JointPosterior())
    return simulated, classic, joint


def cut_out(image, cut):
    """A cut-out, and its edges in FITS coordinates."""
    rows, columns = cut
    extent = (columns.start + 0.5, columns.stop + 0.5, rows.start + 0.5, rows.stop + 0.5)
    return image[cut], extent


def probabilities(simulated, stack, cut):
    """One exposure, the charge of its hits, and the probability that each value is hit."""
    fig = Figure(figsize=(7.5, 3.4), layout="constrained")
    axes = fig.subplots(1, 3, sharey=True)
    panels = (
        ("exposure 1", simulated.exposures[0].data, {"cmap": "gray_r", "vmin": -10, "vmax": 150}, "signal (ADU)"),
        ("its hits", simulated.hits[0], {"cmap": "gray_r", "vmin": 0, "vmax": 50}, "charge (ADU)"),
        ("joint decision", stack.detect(method=JointPosterior()).probability[0].astype(float),
         {"cmap": "cividis", "vmin": 0, "vmax": 1}, "probability of a hit"),
    )  # fmt: skip
    for ax, (title, image, scale, unit) in zip(axes, panels, strict=True):
        values, extent = cut_out(image, cut)
        drawn = ax.imshow(values, origin="lower", extent=extent, interpolation="nearest", **scale)
        ax.set(title=title, xlabel="x (pixel)")
        fig.colorbar(drawn, ax=ax, label=unit, location="bottom")
    axes[0].set_ylabel("y (pixel)")
    save_figure(fig, IMAGES / "joint_probability.png", dpi=120)


def leftovers(results):
    """Errors of the mean on hit pixels, in standard deviations of the mean; one panel for each scene."""
    fig = Figure(figsize=(7.5, 4), layout="constrained")
    axes = fig.subplots(1, len(results), sharey=True)
    for ax, (scene, (simulated, classic, joint)) in zip(axes, results.items(), strict=True):
        truth, hit = simulated.expected.mean(axis=0), simulated.hits.any(axis=0)
        sigma = np.sqrt(simulated.noise.variance(truth) / len(simulated))
        cube = np.array([ccd.data for ccd in simulated.exposures])
        perfect = np.ma.masked_array(cube, simulated.hits > 0.5).mean(axis=0).filled(np.nan)
        curves = (
            ("M.M.Cosmic with PyCosmic, meancr2", classic.combine("meancr2").data, ORANGE, "-"),
            ("joint decision, meanjoint", joint.combine("meanjoint").data, BLUE, "-"),
            ("perfect masks", perfect, GREY, "--"),
        )
        for label, image, colour, style in curves:
            error = np.clip(((image - truth) / sigma)[hit], SIGMAS[0], SIGMAS[-1] - 1e-3)
            ax.stairs(np.histogram(error, SIGMAS)[0], SIGMAS, color=colour, linestyle=style, linewidth=1.6, label=label)
        ax.axvline(5, color="black", linewidth=0.8, linestyle=":")
        ax.set(title=TITLES[scene], yscale="log", ylim=(0.6, None), xlim=(SIGMAS[0], SIGMAS[-1]))
    fig.supxlabel("(value - truth) / standard deviation", fontsize="medium")
    axes[0].set_ylabel("hit pixels")
    fig.legend(
        *axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3, fontsize="small", frameon=False
    )
    save_figure(fig, IMAGES / "joint_leftovers.png", dpi=110)


def reliability(stacks):
    """For bins of probability, the fraction of values that are hit."""
    fig = Figure(figsize=(6, 5), layout="constrained")
    ax = fig.subplots()
    given = np.concatenate([stack.joint_posterior().probability.ravel() for _, stack in stacks])
    really = np.concatenate([simulated.hit_mask(0.5).ravel() for simulated, _ in stacks])
    edges = np.linspace(0, 1, 11)
    number = np.clip(np.digitize(given, edges) - 1, 0, 9)
    # values that were not examined have probability 0, and would dominate the first bin
    looked_at = given > 0
    total = np.bincount(number[looked_at], minlength=10)
    hit = np.bincount(number[looked_at & really], minlength=10)
    mean = np.bincount(number[looked_at], weights=given[looked_at], minlength=10) / total
    error = np.sqrt(hit * (1 - hit / total) + 1) / total
    ax.plot([0, 1], [0, 1], color=GREY, linewidth=1)
    ax.fill_between([0, 1], [-0.05, 0.95], [0.05, 1.05], color=GREY, alpha=0.2, linewidth=0, label="within 0.05")
    ax.errorbar(mean, hit / total, error, fmt="o", color=BLUE, label="ten bins of probability")
    ax.set(xlabel="probability given", ylabel="fraction that is hit", xlim=(0, 1), ylim=(0, 1), aspect="equal")
    ax.legend(frameon=False, loc="upper left")
    save_figure(fig, IMAGES / "joint_reliability.png", dpi=100)


def one_pixel(population):
    """Probability that the third value of a pixel is hit, against that value, without and with a hit neighbour."""
    third = np.linspace(52, 142, 91, dtype=np.float32)
    values = np.stack([np.full(91, 48.0), np.full(91, 55.0), third]).astype(np.float32)
    counts = Counts(values[:, None], np.float32(READNOISE**2))
    pixels = find_candidates(
        counts, np.zeros((1, 91), np.float32), np.ones((1, 91), np.float32), np.ones((3, 1, 91), bool)
    )
    pixels = replace(pixels, detected=None, prior=None)
    tables, rates = pixels.tables(), population.rate.reshape(N_NUMBERS, N_CHARGES)
    fig = Figure(figsize=(7, 4.2), layout="constrained")
    ax = fig.subplots()
    # second row: one neighbour at a side; its fifth class of charge: 50 to 150 standard deviations
    for rate, label, colour in ((rates[0, 0], "no neighbour is hit", BLUE), (rates[2, 4], "beside a hit", ORANGE)):
        odds = log_odds_alone(pixels, tables, replace(population, rate=np.full_like(population.rate, rate)))[2]
        ax.plot(third, 1 / (1 + np.exp(-odds)), color=colour, linewidth=2, label=label)
    five = 51.5 + 5 * np.sqrt(51.5 + READNOISE**2)
    ax.axvline(five, color="black", linewidth=0.8, linestyle=":")
    ax.annotate("5 standard deviations", (five, 0.92), (-5, 0), textcoords="offset points", ha="right")
    ax.set(xlabel="third value (electron); the others are 48 and 55", ylabel="probability that it is hit")
    ax.set_ylim(-0.02, 1.02)
    ax.legend(frameon=False, loc="center right")
    save_figure(fig, IMAGES / "joint_one_pixel.png", dpi=100)


def busiest(hits, size):
    """The cut-out of ``size`` (ny, nx), on a grid, that holds most hit pixels."""
    ny, nx = size
    rows, columns = (length // one for length, one in zip(hits.shape, size, strict=True))
    counts = (hits[: rows * ny, : columns * nx] > 1).reshape(rows, ny, columns, nx).sum(axis=(1, 3))
    y, x = np.unravel_index(counts.argmax(), counts.shape)
    return slice(y * ny, (y + 1) * ny), slice(x * nx, (x + 1) * nx)


def main():
    """Draw them all."""
    results = {scene: make_results(scene) for scene in ("ifu", "imaging")}
    simulated, _, joint = results["ifu"]
    with matplotlib.rc_context({"font.size": 12}):
        one_pixel(joint.joint_posterior().population)
        probabilities(simulated, joint, busiest(simulated.hits[0], (60, 80)))
        leftovers(results)
        reliability([(simulated, joint), *(make_results(seed=seed)[::2] for seed in (6, 7))])


if __name__ == "__main__":
    main()
