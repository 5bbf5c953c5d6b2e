"""The phantom as data: one frozen dataclass, and the presets of the families."""

import dataclasses
from typing import Any, Literal, get_args

Light = Literal["endoscope", "flat"]
Codec = Literal["", "h264", "mjpeg"]
# A family's number, its place here, is part of every scene's seed: new ones go to the end.
FamilyName = Literal["colon", "organ", "things", "airway", "stomach", "sinus", "caecum"]

FAMILY_NAMES: tuple[FamilyName, ...] = get_args(FamilyName)
MOST_TOOLS = 4
LEAST_SIDE = 16  # pixels
SEEDS = 2**29  # seeds a user can choose; the splits lie this far apart

_LATER = {"tools", "smoke", "fluid", "motion_blur", "codec", "codec_quality", "every", "stereo"}


@dataclasses.dataclass(frozen=True)
class PhantomConfig:
    """One phantom data set: seed and sizes, and a switch for everything that makes a picture less ideal.

    Everything not fixed here (shape, colours, vessels, lamp, lens, hand) is drawn anew for every sequence from
    (`seed`, sequence).  Contradictions raise `ValueError` when it is built.

    Attributes:
      family: kind of world, see `families.FAMILIES`.
      seed: of the whole data set; training and test data of one family differ in it.
      sequences: how many sequences.
      frames: how many frames each.
      height: in pixels.
      width: in pixels.
      focal: (least, largest) focal length as a fraction of the width; equal ends are one endoscope for all.
      principal_jitter: how far the principal point may lie off the centre, as a fraction of the width.
      circular_view: fraction of sequences seen through a round stop, as many endoscopes show.
      light: `endoscope` (lamps carried by the camera, highlights, exposure) or `flat` (a lamp fixed in the world
        and pure Lambertian surfaces, so that a point has one colour in every frame).
      specular: wet highlights.
      exposure_drift: relative size of slow brightness changes left over by the automatic exposure.
      vignette: darkening towards the corners.
      blur: softness of lens and demosaicing.
      noise: standard deviation of the sensor's noise at mid grey, in grey levels of 255.
      tissue_motion_mm: amplitude of slow breathing; 0 is a rigid world.
      tool: fraction of sequences in which an instrument comes into view.
      speed: (least, largest) typical motion of the camera, in mm a frame.
      tools: at most so many metal instruments, 0 to `tools` of them in a sequence, with highlights and shadows.
      smoke: fraction of sequences with clouds of cautery smoke that come, drift and go.
      fluid: fraction of sequences with droplets or a film on the lens for a while.
      motion_blur: how long the shutter is open, as a share of the frame interval; 0 is a flash.  Depth, pose and
        masks are those of the middle.  A frame takes five times as long to render.
      codec: `h264` or `mjpeg` to send whole sequences through that codec and back (`render_sequence`); empty for none.
      codec_quality: 1 is the worst, 100 the best; 75 is a good recording.
      every: record every n-th frame of the camera's motion, as if at a lower frame rate.
      stereo: baseline in mm of a second eye to the right, which is rendered too; 0 is none.
    """

    family: str = "colon"
    seed: int = 0
    sequences: int = 8
    frames: int = 64
    height: int = 128
    width: int = 160
    focal: tuple[float, float] = (0.5, 0.95)
    principal_jitter: float = 0.03
    circular_view: float = 0.4
    light: Light = "endoscope"
    specular: bool = True
    exposure_drift: float = 0.02
    vignette: bool = True
    blur: bool = True
    noise: float = 0.8
    tissue_motion_mm: float = 0.0
    tool: float = 0.0
    speed: tuple[float, float] = (0.5, 1.1)
    tools: int = 0
    smoke: float = 0.0
    fluid: float = 0.0
    motion_blur: float = 0.0
    codec: Codec = ""
    codec_quality: int = 75
    every: int = 1
    stereo: float = 0.0

    def __post_init__(self):
        def check(field: str, good: bool, wanted: str) -> None:
            if not good:
                raise ValueError(f"data.phantom.{field}: {getattr(self, field)!r} must be {wanted}")

        check("family", self.family in FAMILY_NAMES, "one of " + ", ".join(FAMILY_NAMES))
        check("light", self.light in get_args(Light), "one of " + ", ".join(get_args(Light)))
        check("seed", 0 <= self.seed < 2**31, "in 0..2^31-1")
        check("sequences", self.sequences >= 1, "at least 1")
        check("frames", self.frames >= 1, "at least 1")
        check("height", self.height >= LEAST_SIDE, f"at least {LEAST_SIDE}")
        check("width", self.width >= LEAST_SIDE, f"at least {LEAST_SIDE}")
        check("focal", len(self.focal) == 2 and 0.3 <= self.focal[0] <= self.focal[1] <= 3.0, "ordered, in 0.3..3")
        check("principal_jitter", 0 <= self.principal_jitter <= 0.2, "in 0..0.2")
        check("circular_view", 0 <= self.circular_view <= 1, "in 0..1")
        check("exposure_drift", 0 <= self.exposure_drift <= 0.5, "in 0..0.5")
        check("noise", 0 <= self.noise <= 32, "in 0..32")
        check("tissue_motion_mm", 0 <= self.tissue_motion_mm <= 2, "in 0..2")
        check("tool", 0 <= self.tool <= 1, "in 0..1")
        check("speed", len(self.speed) == 2 and 0 < self.speed[0] <= self.speed[1] <= 4, "ordered, in 0..4 mm")
        check("tools", 0 <= self.tools <= MOST_TOOLS and int(self.tools) == self.tools, f"a number in 0..{MOST_TOOLS}")
        check("smoke", 0 <= self.smoke <= 1, "in 0..1")
        check("fluid", 0 <= self.fluid <= 1, "in 0..1")
        check("motion_blur", 0 <= self.motion_blur <= 1, "in 0..1")
        check("codec", self.codec in get_args(Codec), "one of h264, mjpeg, or empty")
        check("codec_quality", 1 <= self.codec_quality <= 100, "in 1..100")
        check("every", self.every >= 1, "at least 1")
        check("stereo", 0 <= self.stereo <= 50, "in 0..50 mm")

    def __repr__(self) -> str:
        """Switches of `_LATER` are named only where they are on: caches are named by this text, and stay good."""
        shown = (f for f in dataclasses.fields(self) if f.name not in _LATER or getattr(self, f.name) != f.default)
        return f"PhantomConfig({', '.join(f'{f.name}={getattr(self, f.name)!r}' for f in shown)})"

    def sequence_name(self, sequence: int) -> str:
        """`colon_s0_0003`: family, seed and number."""
        return f"{self.family}_s{self.seed}_{sequence:04d}"

    @classmethod
    def of(cls, family: str, **fields) -> "PhantomConfig":
        """A family's preset, with `fields` in its place where given.

        Raises:
          ValueError: there is no such family, or the fields contradict each other.
        """
        from endodav_jax.data.phantom.families import FAMILIES

        preset = FAMILIES[family].preset if family in FAMILIES else {}
        return cls(**{"family": family} | dict(preset) | fields)

    @classmethod
    def colon(cls, **fields) -> "PhantomConfig":
        """Tubes to pretrain on: varied in everything, lenses and round views too."""
        return cls.of("colon", **fields)

    @classmethod
    def organ(cls, **fields) -> "PhantomConfig":
        """Cavities to adapt to, never pretrained on: one laparoscope in many hands."""
        return cls.of("organ", **fields)

    @classmethod
    def ideal(cls, family: str, **fields) -> "PhantomConfig":
        """A rigid Lambertian world under a lamp that does not move, seen by an ideal camera: for tests."""
        plain: dict[str, Any] = {
            "light": "flat", "specular": False, "exposure_drift": 0.0, "vignette": False,
            "blur": False, "noise": 0.0, "tissue_motion_mm": 0.0, "tool": 0.0, "circular_view": 0.0,
        }  # fmt: skip
        return cls(**{"family": family} | plain | fields)
