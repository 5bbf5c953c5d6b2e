"""A recording as a single HTML file that plays the scene without a server or network connection."""

from pathlib import Path

from endodav_jax.files import whole_file
from endodav_jax.viewer.page import Page, Shown, quiet_server, stop_quietly
from endodav_jax.viewer.recording import Recording

MOST_FRAMES = 60  # per file; each has its own point cloud


def write_scene(recording: Recording, out: Path, shown: Shown, overwrite: bool) -> int:
    """Writes the file and returns the number of frames in it, evenly spaced.

    Raises:
      UserError: it exists and may not be replaced, or cannot be written.
    """
    with whole_file(out, overwrite) as part:
        server = quiet_server()
        try:
            page = Page(server, recording, "")
            page.apply(shown)
            serializer = server.get_scene_serializer()
            count = len(recording.numbers)
            step = -(-count // MOST_FRAMES)
            places = range(0, count, step)
            for place in places:
                page.apply(Shown(**{**vars(shown), "frame": place}))
                serializer.insert_sleep(step / recording.fps)
            part.write_text(serializer.as_html())
        finally:
            stop_quietly(server)
    return len(places)
