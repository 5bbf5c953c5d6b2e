"""The page: a timeline, frame, depth and error side by side, and the 3D scene, where two clicks measure a distance."""

import base64
import contextlib
import dataclasses
import functools
import io
import socket
import threading
import time
from typing import Any, get_args

import cv2
import numpy as np
import viser

from endodav_jax.depth_video.config import ColourMap
from endodav_jax.video.colour import MOST_ERROR, colour_table, colourise
from endodav_jax.viewer.recording import Recording, View, nearest_to_ray, points_of

MOST_POINTS = 60_000  # per cloud
FRUSTA = 16  # about as many are shown along a path, small enough to see the surface between them
PATH_COLOUR, MARK_COLOUR, NOW_COLOUR = (230, 140, 30), (20, 160, 255), (220, 40, 40)
GLTF_TO_WORLD = (0.0, 1.0, 0.0, 0.0)  # half a turn about x: y up and z back become y down and z forward
BY_COLOUR, BY_DEPTH, BY_ERROR = "frame", "depth", "error"


@dataclasses.dataclass(frozen=True)
class Shown:
    """The state encoded in a link to the page.

    Attributes:
      frame: position on the timeline.
      cloud: what colours the points: `frame`, `depth` or `error`.
      colours: name of the colour map.
      low, high: depth range of the colours; equal for the range of the clip.
    """

    frame: int = 0
    cloud: str = BY_COLOUR
    colours: str = "inferno"
    low: float = 0.0
    high: float = 0.0

    def query(self) -> str:
        """The query part of the link."""
        return "&".join(f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}"
                        for name, value in dataclasses.asdict(self).items())  # fmt: skip

    @classmethod
    def of_query(cls, values: dict[str, str]) -> "Shown":
        """Parses a link; missing or invalid values get their defaults."""
        read: dict[str, Any] = {}
        for field in dataclasses.fields(cls):
            try:
                read[field.name] = type(getattr(cls, field.name))(values[field.name])
            except (KeyError, ValueError):
                continue
        return cls(**read)


class Page:
    """A recording on a `viser` server."""

    def __init__(self, server: viser.ViserServer, recording: Recording, address: str, shown: Shown | None = None):
        """Builds the page.

        Args:
          server: an empty server.
          recording: the recording to show.
          address: address of the page, for links.
          shown: the initial state.
        """
        self._server, self._recording, self._address = server, recording, address
        self._intrinsics = recording.intrinsics()
        self._marks: list[np.ndarray] = []
        self._points = np.zeros((0, 3), np.float32)
        self._lock = threading.RLock()
        self._view: View | None = None
        self._closed = False
        first = recording.view(0)
        depths = first.depth[first.depth > 0]
        self._span = tuple(map(float, np.percentile(depths, (1, 99)))) if depths.size else (0.0, 1.0)
        self._scene()
        self._controls(shown or Shown())
        self.show()
        server.scene.on_click()(lambda event: self.click(np.array(event.ray_origin), np.array(event.ray_direction)))
        server.on_client_connect(self._place_camera)

    def _scene(self) -> None:
        scene, recording = self._server.scene, self._recording
        scene.set_up_direction("-y")
        known = [pose for pose in recording.poses if pose is not None]
        if len(known) > 1:
            centres = np.array([pose[:3, 3] for pose in known])
            scene.add_line_segments("/path", np.stack([centres[:-1], centres[1:]], 1), PATH_COLOUR,
                                    thickness=2.0, thickness_units="screen")  # fmt: skip
            for i in range(0, len(known), max(1, len(known) // FRUSTA)):
                self._frustum(f"/path/camera_{i:05d}", known[i], PATH_COLOUR, 0.15)
        if recording.surface is not None:
            scale = 1000.0 if recording.unit.name == "mm" else 1.0  # .glb is in metres then
            self._surface = scene.add_glb("/surface", recording.surface, scale=scale, wxyz=GLTF_TO_WORLD)

    def _controls(self, shown: Shown) -> None:
        gui, recording = self._server.gui, self._recording
        gui.configure_theme(show_logo=False, show_share_button=False)
        gui.main_panel.dock_right()
        gui.add_markdown(f"**{recording.title}**  \n" + "  \n".join(recording.notes))
        last = max(len(recording.numbers) - 1, 1)
        self._frame = gui.add_slider("Frame", min=0, max=last, step=1, initial_value=min(max(shown.frame, 0), last))
        self._play = gui.add_button_group("Time", ("Play", "Stop"))
        below_time = self._play.order + 0.5
        clouds = [BY_COLOUR, BY_DEPTH, *([BY_ERROR] if recording.judged_name else [])]
        self._cloud_by = gui.add_dropdown(
            "Points by", clouds, initial_value=shown.cloud if shown.cloud in clouds else BY_COLOUR
        )
        maps = get_args(ColourMap)
        self._colours = gui.add_dropdown(
            "Colours", maps, initial_value=shown.colours if shown.colours in maps else maps[0]
        )
        low, high = (shown.low, shown.high) if shown.low < shown.high else self._span
        top = max(float(f"{2 * self._span[1]:.2g}"), high)
        self._range = gui.add_multi_slider(
            f"Depth, {recording.unit.name}", min=0.0, max=top, step=top / 200, initial_value=(low, high)
        )
        if recording.surface is not None:
            self._show_surface = gui.add_checkbox("Surface", initial_value=True)
            self._show_surface.on_update(lambda _: setattr(self._surface, "visible", self._show_surface.value))
        self._pictures = gui.add_html(self._side_by_side(recording.view(int(self._frame.value))), order=below_time)
        self._measured = gui.add_markdown("Click two points to measure their distance.")
        clear = gui.add_button("Clear marks")
        self._link = gui.add_text("Link to this", initial_value="")
        for control in (self._frame, self._cloud_by, self._colours, self._range):
            control.on_update(lambda _: self.show())
        self._play.on_click(lambda _: self._start_or_stop())
        clear.on_click(lambda _: self.clear())
        self._playing = threading.Event()
        threading.Thread(target=self._run, daemon=True).start()

    def shown(self) -> Shown:
        """The current state of the page."""
        return Shown(self._frame.value, self._cloud_by.value, self._colours.value, *map(float, self._range.value))

    def apply(self, shown: Shown) -> None:
        """Shows the state encoded in a link."""
        with self._lock:
            _set(self._frame, min(max(shown.frame, 0), len(self._recording.numbers) - 1))
            if shown.cloud in self._cloud_by.options:
                _set(self._cloud_by, shown.cloud)
            if shown.colours in self._colours.options:
                _set(self._colours, shown.colours)
            if shown.low < shown.high:
                _set(self._range, (shown.low, shown.high))
            self.show()

    def show(self) -> None:
        """Updates pictures and points to the selected frame and colours."""
        with self._lock, self._server.atomic():
            place = min(int(self._frame.value), len(self._recording.numbers) - 1)
            if self._view is None or self._view.number != self._recording.numbers[place]:
                self.clear()
            view = self._view = self._recording.view(place)
            self._pictures.content = self._side_by_side(view)
            self._show_points(view, self._recording.poses[place])
            _set(self._link, f"{self._address}?{self.shown().query()}")

    def _side_by_side(self, view: View) -> str:
        """The pictures of a frame, embedded in HTML."""
        names, pictures = ["frame", "depth"], [view.rgb, self._coloured_depth(view.depth)]
        if view.truth is not None:
            names.append("truth")
            pictures.append(self._coloured_depth(view.truth))
        if view.judged is not None:
            names.append(f"{self._recording.judged_name}, 0 to {MOST_ERROR:.0%}")
            pictures.append(self._coloured_error(view.judged, view.depth > 0))
        jpeg = cv2.imencode(".jpg", np.concatenate(pictures, 1)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])[1]
        data = base64.b64encode(jpeg.tobytes()).decode()
        return (
            f'<figure style="margin: 0.5em"><img style="width: 100%" src="data:image/jpeg;base64,{data}" '
            f'alt="{" | ".join(names)}"><figcaption>Frame {view.number}: {" | ".join(names)}</figcaption></figure>'
        )

    def _coloured_depth(self, depth: np.ndarray) -> np.ndarray:
        low, high = self._range.value
        near, far = 1 / max(low, 1e-6 * max(high, 1e-6)), 1 / max(high, 1e-6)
        disparity = np.where(depth > 0, 1 / np.maximum(depth, 1e-9), 0).astype(np.float32)
        return colourise(disparity, far, near, colour_table(self._colours.value), depth > 0)

    def _coloured_error(self, error: np.ndarray, known: np.ndarray) -> np.ndarray:
        return colourise(error, 0.0, MOST_ERROR, colour_table("turbo"), known)

    def _show_points(self, view: View, pose: np.ndarray | None) -> None:
        points, pixels = points_of(view, self._intrinsics, MOST_POINTS)
        pictures = {BY_COLOUR: lambda: view.rgb, BY_DEPTH: lambda: self._coloured_depth(view.depth)}
        if view.judged is not None:
            pictures[BY_ERROR] = functools.partial(self._coloured_error, view.judged, view.depth > 0)
        colours = pictures[self._cloud_by.value]().reshape(-1, 3)[pixels]
        world = np.eye(4) if pose is None else pose
        self._points = (points @ world[:3, :3].T + world[:3, 3]).astype(np.float32)
        size = float(np.median(points[:, 2])) / self._intrinsics[0] if len(points) else 1.0
        self._server.scene.add_point_cloud(
            "/points", self._points, colours, point_size=1.2 * size * _stride(view, MOST_POINTS),
            point_shading="flat", precision="float32",
        )  # fmt: skip
        self._frustum("/camera", world, NOW_COLOUR, 0.4)

    def _frustum(self, name: str, world_from_cam: np.ndarray, colour, share: float) -> None:
        size = self._recording.view(0).depth.shape
        self._server.scene.add_camera_frustum(
            name, float(2 * np.arctan(size[0] / 2 / self._intrinsics[1])), size[1] / size[0],
            scale=0.12 * share * self._span[1], thickness=1.0, thickness_units="screen", color=colour,
            wxyz=viser.transforms.SO3.from_matrix(world_from_cam[:3, :3]).wxyz, position=world_from_cam[:3, 3],
        )  # fmt: skip

    def _place_camera(self, client: viser.ClientHandle) -> None:
        """Places the view behind the camera of the frame, so that it shows the frame from a little further back."""
        pose = self._recording.poses[min(int(self._frame.value), len(self._recording.poses) - 1)]
        world = np.eye(4) if pose is None else pose
        middle = float(np.mean(self._span))
        client.camera.up_direction = tuple(-world[:3, 1])
        client.camera.position = tuple(world[:3, 3] - 0.6 * middle * world[:3, 2])
        client.camera.look_at = tuple(world[:3, 3] + middle * world[:3, 2])

    def click(self, origin: np.ndarray, direction: np.ndarray) -> None:
        """Marks the point under a ray in the world; the second mark shows the distance."""
        with self._lock:
            found = nearest_to_ray(self._points, origin, direction)
            if found is None:
                return
            if len(self._marks) == 2:
                self.clear()
            self._marks.append(self._points[found].astype(np.float64))
            radius = 0.006 * self._span[1]
            name = f"/marks/{len(self._marks)}"
            self._server.scene.add_icosphere(name, radius, MARK_COLOUR, position=self._marks[-1])
            if len(self._marks) == 1:
                self._measured.content = "One point is marked; click a second one."
                return
            text = self._recording.unit.text(self.distance())
            self._server.scene.add_line_segments(
                "/marks/line", np.array([self._marks]), MARK_COLOUR, thickness=2.0, thickness_units="screen"
            )
            self._server.scene.add_label("/marks/label", text, position=np.mean(self._marks, 0))
            self._measured.content = f"Distance: **{text}**"

    def distance(self) -> float:
        """The distance between the two marks, in the recording's unit; NaN with fewer marks."""
        return float(np.linalg.norm(self._marks[1] - self._marks[0])) if len(self._marks) == 2 else float("nan")

    def measured(self) -> str:
        """The text about the marks, in Markdown."""
        return self._measured.content

    def clear(self) -> None:
        """Removes the marks."""
        with self._lock:
            self._marks = []
            for name in ("1", "2", "line", "label"):
                self._server.scene.remove_by_name(f"/marks/{name}")
            self._measured.content = "Click two points to measure their distance."

    def close(self) -> None:
        """Stops the page's thread."""
        self._closed = True
        self._playing.set()

    def _start_or_stop(self) -> None:
        (self._playing.set if self._play.value == "Play" else self._playing.clear)()

    def _run(self) -> None:
        while True:
            self._playing.wait()
            if self._closed:
                return
            begun = time.monotonic()
            _set(self._frame, (int(self._frame.value) + 1) % len(self._recording.numbers))
            time.sleep(max(0.0, 1 / self._recording.fps - (time.monotonic() - begun)))


def quiet_server() -> viser.ViserServer:
    """A silent, empty server on a free port of the loopback interface."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with contextlib.redirect_stdout(io.StringIO()):
        return viser.ViserServer("127.0.0.1", port, verbose=False)


def stop_quietly(server: viser.ViserServer) -> None:
    """Stops a server, which would print that."""
    with contextlib.redirect_stdout(io.StringIO()):
        server.stop()


def _stride(view: View, most: int) -> int:
    return max(1, int(np.ceil(np.sqrt(view.depth.size / most))))


def _set(control: Any, value: object) -> None:
    """Sets the value of a control, which viser's annotations wrongly declare as read-only."""
    control.value = value
