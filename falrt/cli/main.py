"""The commands and their options; what they do is in a file each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from falrt.cli import calls
from falrt.cli.shared import Settings, errors_in_a_line

__all__ = ["app"]

app = typer.Typer(
    name="falrt",
    help="Drive fal's realtime image models: frames in, the freshest picture out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from falrt import __version__

        typer.echo(f"falrt {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    del version


# Metavars in plain words, and short help that click does not cut.
_Model = Annotated[str, typer.Option(metavar="NAME", help="klein, lcm, turbo or lightning.")]
_Fit = Annotated[
    str,
    typer.Option(
        metavar="HOW",
        help="Other aspect ratios: cover crops, contain adds borders, stretch distorts.",
    ),
]
_Frames = Annotated[int | None, typer.Option(metavar="N", help="Stop after N pictures.", min=1)]
_Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]


@app.command(short_help="Serve a local stand-in for fal.")
def serve(
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(metavar="PORT", help="Port; 0 picks a free one.", min=0, max=65535)
    ] = 8765,
    speed: Annotated[
        float, typer.Option(metavar="N", help="How many times faster than the real models.")
    ] = 1.0,
    latency: Annotated[float, typer.Option(metavar="SECONDS", help="Delay of every frame, each way.")] = 0.0,
    idle_timeout: Annotated[
        float, typer.Option(metavar="SECONDS", help="Time without input until TIMEOUT; 0: never.")
    ] = 30.0,
    buffering: Annotated[
        int, typer.Option(metavar="N", help="Inputs that may wait for the model; 0: no limit.", min=0)
    ] = 2,
    key: Annotated[
        str | None, typer.Option(metavar="KEY", help="The only key that is accepted; default: any.")
    ] = None,
    no_auth: Annotated[
        bool, typer.Option("--no-auth", help="Accept everyone, without a key or token.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log connections.")] = False,
    quiet: _Quiet = False,
) -> None:
    """Serve a local stand-in for fal whose models draw without a GPU."""
    with errors_in_a_line():
        from rich.console import Console

        from falrt.cli.serve import serve as run
        from falrt.local import LocalOptions

        if verbose:
            import logging

            logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
            logging.getLogger("httpx").setLevel(logging.WARNING)
        options = LocalOptions(
            speed=speed,
            latency=latency,
            idle_timeout=idle_timeout or None,
            buffering=buffering or None,
            check_keys=not no_auth,
            key=key,
        )
        run(Console(quiet=quiet), host, port, options)


@app.command(short_help="Let browsers use fal with this machine's key.")
def proxy(
    allow: Annotated[
        list[str],
        typer.Option(
            metavar="ENDPOINT", help="An id, or a pattern such as 'fal-ai/flux/*'; may be repeated."
        ),
    ],
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(metavar="PORT", help="Port; 0 picks a free one.", min=0, max=65535)
    ] = 3333,
    origin: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ORIGIN", help="An origin that may call, such as https://app.example; may be repeated."
        ),
    ] = None,
    name: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A host name of this server; may be repeated."),
    ] = None,
    anyone: Annotated[bool, typer.Option("--anyone", help="Accept every caller, on any address.")] = False,
    requests: Annotated[
        int, typer.Option(metavar="N", help="Requests per minute for one caller.", min=1)
    ] = 60,
    sockets: Annotated[int, typer.Option(metavar="N", help="Sockets at once for one caller.", min=1)] = 2,
    token_seconds: Annotated[
        int, typer.Option(metavar="SECONDS", help="Longest lifetime of a token.", min=1, max=3600)
    ] = 120,
    uploads: Annotated[bool, typer.Option("--uploads", help="Let callers store files.")] = False,
    quiet: _Quiet = False,
) -> None:
    """Serve fal's proxy protocol, tokens and a relay for browsers; the key stays here."""
    with errors_in_a_line():
        from rich.console import Console

        from falrt.cli.proxy import proxy as run

        run(
            Console(quiet=quiet),
            host,
            port,
            allow=allow,
            origins=origin or [],
            names=name or [],
            anyone=anyone,
            requests=requests,
            sockets=sockets,
            token_seconds=token_seconds,
            uploads=uploads,
        )


@app.command(short_help="Open a page to play with the models.")
def playground(
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Address to listen on; others may watch at /screen.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(metavar="PORT", help="Port; 0 picks a free one.", min=0, max=65535)
    ] = 3333,
    local: Annotated[
        bool, typer.Option("--local", help="Use the local stand-in even if a key is set.")
    ] = False,
    speed: Annotated[
        float,
        typer.Option(metavar="N", help="Of the stand-in: how many times faster than the real models."),
    ] = 1.0,
    name: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A host name of this server; may be repeated."),
    ] = None,
    open_: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in a browser.")] = True,
    quiet: _Quiet = False,
) -> None:
    """Open a page to play with the models: camera, drawing, pictures, videos; your key stays here."""
    with errors_in_a_line():
        from rich.console import Console

        from falrt.cli.playground import playground as run

        run(Console(quiet=quiet), host, port, local=local, speed=speed, names=name or [], browser=open_)


@app.command(short_help="Stream moving pictures through a model; no key, no network.")
def demo(
    source: Annotated[
        str,
        typer.Option(
            metavar="PATH", help="A picture, GIF, video or folder of pictures; default: a built-in scene."
        ),
    ] = "scene",
    model: _Model = "klein",
    prompt: Annotated[
        str | None, typer.Option(metavar="TEXT", help="One prompt; default: a new one every two seconds.")
    ] = None,
    frames: _Frames = None,
    seconds: Annotated[float, typer.Option(metavar="SECONDS", help="Stop after this time.", min=0.1)] = 8.0,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder for the results.")] = Path("falrt-demo"),
    set_: Settings = None,
    fit: _Fit = "cover",
    live: Annotated[
        bool, typer.Option("--live", help="Use fal, with FAL_KEY, instead of a local server.")
    ] = False,
    quiet: _Quiet = False,
) -> None:
    """Stream moving pictures through a model, with no key and no network, and save what comes back."""
    with errors_in_a_line():
        from rich.console import Console

        from falrt.cli.choices import choose, read_settings
        from falrt.cli.demo import demo as run
        from falrt.cli.sources import open_source

        run(
            Console(quiet=quiet),
            choice=choose(model, read_settings(set_ or []), fit=fit),
            source=open_source(source),
            prompt=prompt,
            folder=out,
            frames=frames,
            seconds=seconds,
            live=live,
        )


@app.command(short_help="Stream a camera, video, pictures or the screen through a model.")
def stream(
    source: Annotated[
        str,
        typer.Option(
            metavar="SOURCE",
            help="A camera's number, a video, GIF or picture, a folder, a pattern of pictures, 'screen', "
            "'screen:X,Y,WIDTH,HEIGHT' or 'scene'.",
        ),
    ] = "scene",
    model: _Model = "klein",
    app_id: Annotated[
        str | None,
        typer.Option("--app", metavar="ID", help="Another endpoint that takes the inputs of --model."),
    ] = None,
    prompt: Annotated[
        str,
        typer.Option(metavar="TEXT", help="On a terminal, type another one at any time; '-' reads stdin."),
    ] = "",
    prompt_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Read the prompt from a file, again when it changes.")
    ] = None,
    set_: Settings = None,
    fit: _Fit = "cover",
    out: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="PATH", help="A folder, or a .gif, .webp, .mp4, .mov or .mkv file; may be repeated."
        ),
    ] = None,
    beside: Annotated[
        bool, typer.Option("--beside", help="In a .gif or .webp, show the frame beside its picture.")
    ] = False,
    preview: Annotated[bool, typer.Option("--preview", help="Show pictures in the terminal.")] = False,
    window: Annotated[bool, typer.Option("--window", help="Show pictures in a window.")] = False,
    report: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Write an .html or .png report at the end; may be repeated."),
    ] = None,
    fps: Annotated[
        float | None, typer.Option(metavar="N", help="Frames per second instead of the source's own.")
    ] = None,
    live: Annotated[
        bool, typer.Option("--live", help="Play a file as a camera would: skip what is too old.")
    ] = False,
    loop: Annotated[bool, typer.Option("--loop", help="Play a file again from its start.")] = False,
    still: Annotated[
        bool, typer.Option("--still", help="Show a single picture as it is, without movement.")
    ] = False,
    gate: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE", help="Send only frames that changed by this share, such as 0.05.", min=0, max=1
        ),
    ] = None,
    frames: _Frames = None,
    seconds: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Stop after this time.", min=0.1)
    ] = None,
    local: Annotated[
        bool, typer.Option("--local", help="Use a local stand-in instead of fal; no key.")
    ] = False,
    speed: Annotated[
        float, typer.Option(metavar="N", help="With --local: how many times faster than the real models.")
    ] = 1.0,
    max_buffering: Annotated[
        int | None, typer.Option(metavar="N", help="1 to 60: fal's server-side buffer.")
    ] = None,
    price_per_second: Annotated[
        float,
        typer.Option(
            metavar="USD",
            help="Show the cost of open sockets; klein's price is documented as 0.00194.",
            min=0,
        ),
    ] = 0.0,
    quiet: _Quiet = False,
) -> None:
    """Stream frames through a model: a camera, video, pictures or the screen in; files, terminal or window out."""
    with errors_in_a_line():
        from dataclasses import replace

        from rich.console import Console

        from falrt.cli.choices import choose, read_settings
        from falrt.cli.prompts import choose_prompt
        from falrt.cli.sources import open_source
        from falrt.cli.stream import StreamPlan
        from falrt.cli.stream import stream as run
        from falrt.cli.targets import check_apart

        frames_in = open_source(source, fps=fps, still=still)
        check_apart(source, out or [])
        if loop:
            frames_in = frames_in.looped()
        if live:
            frames_in = replace(frames_in, live=True)
        plan = StreamPlan(
            source=frames_in,
            choice=choose(model, read_settings(set_ or []), app=app_id, fit=fit),
            prompt=choose_prompt(prompt, prompt_file),
            out=tuple(out or ()),
            beside=beside,
            preview=preview,
            window=window,
            reports=tuple(report or ()),
            gate=gate,
            frames=frames,
            seconds=seconds,
            local=local,
            speed=speed,
            max_buffering=max_buffering,
            price_per_second=price_per_second,
        )
        run(Console(quiet=quiet), plan)


@app.command(short_help="Check key, token, socket and one picture; say what is wrong.")
def doctor(
    model: _Model = "klein",
    local: Annotated[
        bool, typer.Option("--local", help="Check with a local stand-in instead of fal; no key.")
    ] = False,
) -> None:
    """Try each step of making a picture: say what works, what does not, and what to do.

    The exit code is 1 if something does not work. On fal, it requests and pays for one picture.
    """
    with errors_in_a_line():
        from rich.console import Console

        from falrt.cli.choices import choose
        from falrt.cli.doctor import doctor as run

        if not run(Console(), choose(model, {}), local=local):
            raise typer.Exit(1)


app.command(short_help="Print typed models of an endpoint, from its OpenAPI document.")(calls.types)
app.command(short_help="Make a picture from words.")(calls.generate)
app.command(short_help="Make many pictures; run again to resume.")(calls.batch)
