"""The commands: each calls the function that does its work, with the parsed arguments.

What a command needs is imported when it runs, because --help needs none of it.
"""

from contextlib import nullcontext

from crstack.cli.suggestions import named_as_options
from crstack.utils.first_imports import first_imports

__all__ = ["do_batch", "do_completion", "do_demo", "do_init", "do_plugins", "do_run"]

#: options of ``crstack run`` that replace a parameter file
WITHOUT_FILE = (
    *("gain", "readnoise", "bias", "saturation", "trim", "max_fraction"),
    *("dq_ext", "err_ext", "bits", "method", "differences", "ext"),
)


def do_run(arguments, console):
    """``crstack run``."""
    from crstack.pipeline.helper_process import early_helper

    with early_helper(not (arguments.no_plots or arguments.dry_run)) as helper:
        _run_with(helper, arguments, console)


def _run_with(helper, arguments, console):
    """``crstack run``, with a second process for figures."""
    with first_imports("crstack.pipeline.mosaic"):
        from crstack.pipeline.mosaic import run_any
        from crstack.utils.log import log

    parameters, by_options = _parameters_of(arguments)
    if arguments.method is not None and arguments.crmasks is not None:
        log.warning("--method has no effect, because the masks are read from %s", arguments.crmasks)
    with named_as_options() if by_options else nullcontext():
        run_any(
            parameters,
            arguments.output_dir,
            dry_run=arguments.dry_run,
            as_json=arguments.json,
            crmasks=arguments.crmasks,
            plots=not arguments.no_plots,
            interactive=arguments.interactive,
            overwrite=arguments.overwrite,
            drop_unusable=arguments.drop_unusable,
            clean=arguments.clean,
            mem_limit=arguments.mem_limit,
            helper=helper,
            console=console,
        )


def _parameters_of(arguments):
    """The parameter file, or the configuration of the options; and whether it is that of options."""
    from crstack.cli.without_file import are_images, configuration_of_options
    from crstack.exceptions import InputError

    options = {name: getattr(arguments, name) for name in WITHOUT_FILE}
    if are_images(arguments.parameters):
        with named_as_options():
            return configuration_of_options(arguments.parameters, **options), True
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise InputError(
            f"--{given[0].replace('_', '-')} must be given with FITS files; a parameter file has a key for it"
        )
    (parameters,) = arguments.parameters
    return parameters, False


def do_init(arguments, console):
    """``crstack init``."""
    from crstack.cli.init import parameter_file, write_parameter_file
    from crstack.pipeline.log_handlers import print_whole

    if arguments.output is None:
        print_whole(parameter_file(arguments.images).removesuffix("\n"))
    else:
        write_parameter_file(arguments.output, arguments.images, overwrite=arguments.overwrite)


def do_completion(arguments, console):
    """``crstack completion``."""
    from crstack.cli.completion import completion
    from crstack.pipeline.log_handlers import print_whole

    print_whole(completion(arguments.parser, arguments.shell))


def do_batch(arguments, console):
    """``crstack batch``."""
    from crstack.cli.batch import batch

    batch(
        arguments.source,
        output_dir=arguments.output_dir,
        settings=arguments.settings,
        group_by=[one.strip() for one in arguments.group_by.split(",")] if arguments.group_by else None,
        only=arguments.only,
        n_workers=arguments.jobs,
        scheduler=arguments.scheduler,
        redo=arguments.redo,
        plots=not arguments.no_plots,
        drop_unusable=arguments.drop_unusable,
        dry_run=arguments.dry_run,
        console=console,
    )


def do_demo(arguments, console):
    """``crstack demo``."""
    from crstack.cli.demo import demo

    with named_as_options():
        demo(
            arguments.directory,
            seed=arguments.seed,
            scene=arguments.scene,
            shape=tuple(arguments.shape),
            method=arguments.method,
            overwrite=arguments.overwrite,
            console=console,
        )


def do_plugins(arguments, console):
    """``crstack plugins``."""
    from crstack.cli.plugins import show_plugins

    show_plugins()
