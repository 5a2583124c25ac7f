"""`pretrain validate`: check job files without running anything."""

from typing import Any

import click

from pretrain_api.errors import EXIT_OK, EXIT_USER_ERROR, UserError
from pretrain_cli.standard_error import say


@click.command(
    epilog="""\b
Examples:
  pretrain validate job.yaml
  pretrain validate jobs/*.yaml -o json
  pretrain validate job.yaml --set spec.training.steps=100
  cat job.yaml | pretrain validate -"""
)
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(allow_dash=True))
@click.option(
    "--set",
    "sets",
    metavar="PATH=VALUE",
    multiple=True,
    help="Change a field before validating; VALUE is YAML, null removes the field. May be given again.",
)
@click.option("-o", "--output", type=click.Choice(["text", "json", "yaml"]), default="text", help="Form of the result.")
def command(files: tuple[str, ...], sets: tuple[str, ...], output: str) -> int:
    """Check job FILEs ("-": standard input): fields, bounds, and rules between fields.

    Every problem is shown with its line and with what to write instead. Exit code 2 if there is one.
    """
    from pretrain_api.parse import load
    from pretrain_api.remarks import remarks

    invalid = False
    results: list[dict[str, Any]] = []
    for file in files:
        try:
            job = load(file, sets)
        except UserError as error:
            invalid = True
            results.append({"file": file, "valid": False, "problems": _problems(error), "remarks": []})
            if output == "text":
                say(str(error))
        else:
            said = list(remarks(job))
            results.append({"file": file, "valid": True, "problems": [], "remarks": said})
            if output == "text":
                click.echo(f"{file}: valid")
                for remark in said:
                    say(f"{file}: note: {remark}")
    if output != "text":
        from pretrain_cli.cluster.output import text

        click.echo(text(results, output))
    return EXIT_USER_ERROR if invalid else EXIT_OK


def _problems(error: UserError) -> list[dict[str, str]]:
    from pretrain_api.problems import InvalidJob, path_text

    if isinstance(error, InvalidJob):
        return [
            {"code": p.code, "origin": p.origin, "path": path_text(p.path), "what": p.what, "instead": p.instead}
            for p in error.problems
        ]
    return [{"code": error.code, "origin": error.where, "path": "", "what": error.what, "instead": error.instead}]
