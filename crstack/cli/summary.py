"""What a run tells of its results."""

from crstack.cli.console import log, section, settings_lines

__all__ = ["column_name", "log_boundary", "log_detector", "log_joint", "log_masks", "log_timings"]

#: seconds worth telling
SHORTEST = 0.005


def log_detector(names, detector):
    """Log the parameters of the auxiliary detector, or of each that votes, as it uses them."""
    for name, one in zip(names, getattr(detector, "detectors", (detector,)), strict=True):
        section(f"Auxiliary detector: {name}")
        for line in settings_lines((key, getattr(one, key)) for key in type(one).parameters()):
            log.info(line)


def log_boundary(diagram, boundary):
    """Log the limits of the diagram and some values of the boundary."""
    unit = diagram.unit
    x, y = diagram.x_edges, diagram.y_edges
    log.info("min2d - bias        %10.3f to %10.3f %s", x[0], x[-1], unit)
    log.info("median2d - min2d    %10.3f to %10.3f %s", y[0], y[-1], unit)
    n_sets = diagram.n_sets
    n_observed, n_simulated = diagram.observed.sum(), diagram.simulated.sum()
    log.info("%d pixels observed, %d simulated in %d sets of exposures", n_observed, n_simulated, n_sets)
    log.debug("%r", boundary)
    log.info("%s through %d points", type(boundary.model).__name__, len(boundary.points))
    first, last = boundary.x[0], boundary.x[-1]
    where = [first + (last - first) * part / 4 for part in range(5)]
    log.info("  min2d     %s", " ".join(f"{value:10.2f}" for value in where))
    log.info("  boundary  %s", " ".join(f"{value:10.2f}" for value in boundary(where)))


def log_joint(result):
    """Log what the joint decision has fitted to the stack."""
    section("Joint decision")
    for line in settings_lines(result.summary().items()):
        log.info(line)


def column_name(name, masks):
    """Head of a column of ``masks.counts()``: that of code 2 tells who decided beside the auxiliary detector."""
    return masks.finder.split()[0].replace(".", "").lower() if name == "mmcosmic" else name


def log_masks(masks, *, verbose):
    """Log the number of pixels after each rule, and by who found them.

    Parameters
    ----------
    masks : `~crstack.masks.MaskSet`
        The masks.
    verbose : bool
        Whether the counts of the auxiliary detector are told.
    """
    for name, steps in masks.steps.items():
        log.info(name)
        for rule, count in steps.items():
            if verbose or not rule.startswith("auxiliary"):
                log.info("  %-50s %10d", rule, count)
    n_pixels = masks.shape[0] * masks.shape[1]
    table = masks.counts()
    columns = [name for name in table.colnames if name != "name"]
    heads = [column_name(name, masks) for name in columns]
    log.info("")
    log.info("%-10s%s%9s", "pixels of", "".join(f"{head:>11}" for head in heads), "%")
    for row in table:
        numbers = "".join(f"{row[name]:11d}" for name in columns)
        log.info("%-10s%s%9.4f", row["name"], numbers, 100 * row["flagged"] / n_pixels)
    log.info("")
    log.info("problematic pixels, masked in every exposure: %d", masks.problematic.sum())


def log_timings(timings, total):
    """Log the seconds that each stage took."""
    section("Seconds")
    for stage, seconds in timings.items():
        if seconds >= SHORTEST:
            log.info("  %-40s %8.2f", stage, seconds)
    log.info("  %-40s %8.2f", "total, with reading and writing", total)
    if "diagram" in timings or "masks" in timings:
        log.info("  (the diagram and the masks include the detections made for them)")
