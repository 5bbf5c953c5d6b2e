"""The application behind `endodav view`: shows a folder or a video on a page until stopped."""

import contextlib
import tempfile
import threading
import webbrowser
from collections.abc import Callable, Iterator
from pathlib import Path

from endodav_jax.errors import UserError
from endodav_jax.progress import listening
from endodav_jax.viewer.door import Door
from endodav_jax.viewer.folders import holds_results, open_folder
from endodav_jax.viewer.page import Page, Shown, quiet_server, stop_quietly
from endodav_jax.viewer.videos import infer_for_page


class App:
    """A page at an address that shows a folder, or a video after processing it."""

    def __init__(self, host: str, port: int, weights: str = ""):
        """Starts listening.

        Args:
          host: address to listen on.
          port: port to listen on; 0 for any free port.
          weights: for videos; empty for shipped-mixed, our own.

        Raises:
          UserError: listening on this address failed.
        """
        self._weights = weights
        self._server = quiet_server()
        self.page: Page | None = None
        try:
            self.door = Door(host, port, self._server.get_port(), self._follow)
        except UserError:
            stop_quietly(self._server)
            raise
        self._scratch = tempfile.TemporaryDirectory(prefix="endodav_view_")

    @property
    def address(self) -> str:
        """The address to open in a browser."""
        return self.door.address

    def close(self) -> None:
        """Removes the page and the temporary results."""
        self.door.close()
        stop_quietly(self._server)
        self._scratch.cleanup()

    def show(self, path: Path, sequence: str = "", shown: Shown | None = None) -> None:
        """Shows a folder written by a command, or the depth of a video.

        Raises:
          UserError: neither can be read.
        """
        folder = path
        if not holds_results(path):
            folder = Path(self._scratch.name) / f"{len(list(Path(self._scratch.name).iterdir())):03d}_{path.stem}"
            with self._progress(path.name) as tell:
                self._infer(path, folder, tell)
        recording = open_folder(folder, sequence)
        self._reset()
        self.page = Page(self._server, recording, self.door.base, shown)
        self._upload_button()

    def wait_for_a_file(self) -> None:
        """An empty page to which a video can be uploaded."""
        self._reset()
        self._server.gui.add_markdown("**endodav view**  \nUpload a video to see its depth.")
        self._upload_button()

    def _infer(self, video: Path, folder: Path, tell: Callable[[float], None]) -> None:
        with listening(lambda done, count: tell(done / count if count else 0.5)):
            infer_for_page(video, folder, self._weights)

    @contextlib.contextmanager
    def _progress(self, name: str) -> Iterator[Callable[[float], None]]:
        """A progress bar on the page while a video is processed."""
        self._reset()
        gui = self._server.gui
        gui.add_markdown(f"**{name}**  \nComputing depth; the page will update when it is done.")
        bar = gui.add_progress_bar(0.0)
        yield lambda share: setattr(bar, "value", 100.0 * min(max(share, 0.0), 1.0))

    def _upload_button(self) -> None:
        button = self._server.gui.add_upload_button("Another video", mime_type="video/*")

        @button.on_upload
        def _(_event) -> None:
            file = Path(self._scratch.name) / Path(button.value.name).name
            file.write_bytes(button.value.content)
            threading.Thread(target=self._show_uploaded, args=(file,), daemon=True).start()

    def _show_uploaded(self, file: Path) -> None:
        try:
            self.show(file)
        except UserError as error:
            self._refuse(file, str(error))
        except Exception as error:
            self._refuse(file, f"a bug in this program ({type(error).__name__}); the terminal has the details")
            raise

    def _refuse(self, file: Path, why: str) -> None:
        self.wait_for_a_file()
        self._server.gui.add_markdown(f"**{file.name}** cannot be shown: {why}")

    def _reset(self) -> None:
        if self.page is not None:
            self.page.close()
            self.page = None
        self._server.gui.reset()
        self._server.scene.reset()

    def _follow(self, said: dict[str, str]) -> None:
        if self.page is not None:
            self.page.apply(Shown.of_query(said))


def open_browser(address: str) -> bool:
    """Opens the user's browser; returns False if there is none."""
    try:
        return webbrowser.open(address)
    except webbrowser.Error:
        return False
