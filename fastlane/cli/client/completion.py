"""The command ``fastlane completion``, and what completes the names of tasks."""

import click
from click.shell_completion import CompletionItem, get_completion_class

VARIABLE = "_FASTLANE_COMPLETE"


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Prints the script that completes commands, options and tasks in your shell.

    \b
    Examples:
      fastlane completion bash >> ~/.bashrc
      fastlane completion zsh > fastlane.zsh
      fastlane completion fish > fastlane.fish
    """
    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(ctx.find_root().command, {}, "fastlane", VARIABLE).source())


def complete_task(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The tasks that begin so; after a slash, the jobs of the task. Nothing when the server does not say."""
    from fastlane.cli.client.command import connect
    from fastlane.client import ClientError

    try:
        with connect(ctx.params.get("context"), patience=1.0) as client:
            task, slash, _ = incomplete.partition("/")
            if slash:
                found = [(f"{task}/{row['id']}", row["name"]) for row in client.tasks.jobs(task)]
            else:
                found = [(row["taskId"], None) for row in client.tasks.list() if row["taskId"].startswith(incomplete)]
    except ClientError:
        return []
    return [CompletionItem(name, help=help) for name, help in found if name.startswith(incomplete)]
