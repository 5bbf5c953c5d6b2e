"""`endodav view`: a browser page that shows depth, paths, surfaces and distances."""

import dataclasses
import sys
import tempfile
import threading
from pathlib import Path
from typing import Annotated

from endodav_jax.errors import UserError
from endodav_jax.fields import positional, spelled


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """Opens a browser page with the results of `infer`, `reconstruct` or `evaluate`, or with a video, processed first.

    Attributes:
      path: a folder written by one of these commands, or a video; omit it for a page to which videos can be uploaded.
      sequence: the sequence of an evaluation, or the clip in a folder with several, such as the recordings of one
        `infer`; empty for the first.
      weights: for videos: a converted checkpoint; empty for shipped-mixed, our own.
      export: write the scene as one HTML file that opens without a server or network connection, and exit; of a
        video, too.
      host: address to listen on; for any but the local address, the token in the printed link is required.
      port: port to listen on; 0 for any free port.
      no_browser: only print the address, without opening it in a browser.
      overwrite: replace an existing --export file.
    """

    path: Annotated[Path | None, *positional("OUT")] = None
    sequence: str = ""
    weights: str = ""
    export: Annotated[Path | None, spelled(metavar="SCENE.html")] = None
    host: str = "127.0.0.1"
    port: int = 8080
    no_browser: bool = False
    overwrite: bool = False


def run(command: Command) -> None:
    """Serves the page until Ctrl-C, or writes the file."""
    try:
        import viser  # noqa: F401
    except ImportError as error:
        raise UserError('endodav view needs viser: pip install "endodav-jax[view]"') from error
    if command.path is not None and not command.path.exists():
        raise UserError(f"{command.path}: no such folder or video")
    from endodav_jax.viewer.app import App, open_browser

    if command.export is not None:
        _export(command, command.export)
        return
    app = App(command.host, command.port, command.weights)
    try:
        print(f"{app.address}  (press Ctrl-C to stop)", flush=True)
        if not command.no_browser and not open_browser(app.address):
            print("endodav view: no browser was found; open the address above", file=sys.stderr)
        if command.path is None:
            app.wait_for_a_file()
        else:
            app.show(command.path, command.sequence)
        threading.Event().wait()
    finally:
        app.close()


def _export(command: Command, page: Path) -> None:
    from endodav_jax.files import refuse_existing
    from endodav_jax.viewer.folders import holds_results, open_folder
    from endodav_jax.viewer.page import Shown
    from endodav_jax.viewer.scene_file import write_scene
    from endodav_jax.viewer.videos import infer_for_page

    if command.path is None:
        raise UserError("--export: name the folder or video to export: endodav view OUT --export scene.html")
    if not command.overwrite:
        refuse_existing(page)
    with tempfile.TemporaryDirectory(prefix="endodav_view_") as scratch:
        folder = command.path
        if not holds_results(folder):
            folder = Path(scratch) / folder.stem
            infer_for_page(command.path, folder, command.weights)
        frames = write_scene(open_folder(folder, command.sequence), page, Shown(), command.overwrite)
    print(f"written: {page} ({page.stat().st_size / 1e6:.1f} MB, {frames} frames)")
