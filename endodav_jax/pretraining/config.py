"""The `pretrain` section of a configuration."""

import dataclasses

from endodav_jax.data.phantom.config import FAMILY_NAMES, LEAST_SIDE, MOST_TOOLS, SEEDS
from endodav_jax.fields import check_numbers
from endodav_jax.models.config import MAX_FRAMES
from endodav_jax.models.resnet import RESNETS

FINE_TUNED_FAMILY = "organ"
FAR_SCENE_FRAMES = 400  # single frames of a scene are drawn from a part of its path with this many frames


@dataclasses.dataclass(frozen=True)
class PretrainConfig:
    """Four stages.  Contradictions raise `ValueError` when it is built.

    First, the encoder and the head are trained on single frames of many scenes; then the encoder is frozen and the
    head, including its motion modules, is trained on clips, as in Video-Depth-Anything.  Last, the other networks
    needed for fine-tuning are trained on short clips with known motion: flow and brightness, then the camera.

    Attributes:
      families: (family of the phantom, weight); scenes are drawn in proportion to the weights.  `organ` is reserved for
        fine-tuning and refused.
      data_seed: seed of the phantom.
      frame_height, frame_width: size of the rendered frames, multiples of 8.
      scenes: number of scenes in the first stage; each provides `frames_per_scene` frames.
      frames_per_scene: frames per scene, far apart.
      clips: number of scenes in the second stage; each provides one clip.
      clip_length: frames per clip.
      tools: at most so many metal instruments in a scene (`data.phantom.tools`).
      wide_lenses: fraction of the first stage's scenes seen through a wide lens that bends lines, up to 150 degrees.
      other_cameras: how far frames are changed to look like another endoscope's (`other_cameras.py`): 0 leaves them as
        rendered (unless `other_cameras_of` names a family), and 1 makes brightness tell little about depth.
      other_cameras_of: (family, `other_cameras` of its scenes), where it differs; the light of rigid endoscopes in
        narrow passages tells depth more truly than that of flexible ones.
      cache: folder in which rendered scenes are kept, so that each is rendered once; empty for none.
      workers: processes that render all scenes into the cache beforehand, each on a core of its own, and read them
        while the networks train; 0 does both in the training's own process, as needed.  With an accelerator, give as
        many as there are cores: it trains much faster than one process renders or reads.
      image_steps, clip_steps, flow_steps, camera_steps: steps of the four stages.
      scenes_per_step: scenes per batch in the first stage.
      clips_per_step: clips per batch in the second stage.
      motion_clips: number of scenes in the last two stages; each provides one clip.
      motion_clip_length: frames per clip in these stages.
      motion_clips_per_step: clips per batch in these stages.
      resnet_layers: size of the motion networks, as in `train.resnet_layers`.
      image_learning_rate, clip_learning_rate, motion_learning_rate: maximum learning rates; warmed up, held, then
        decayed linearly.
      decay_share: fraction of a stage's steps over which its learning rate decays.  To cut a stage short, give it fewer
        steps; it resumes from its checkpoint.  Until it decays, its learning rate is the same for any number of steps
        that is at least twice `warm_up_steps`.
      warm_up_steps: warm-up steps of each stage, at most half of its steps.
      weight_decay: for matrices and convolution kernels.
      clip_norm: gradients are clipped to this norm.
      ema_decay: of the averaged weights, which are the ones that are kept.
      gradient_weight: weight of the multi-scale gradient matching.
      temporal_weight: weight of the temporal gradient matching.
      anchor_weight: weight of the term that fixes the zero and the level of the output, which the other terms, as in
        Video-Depth-Anything, leave free.
      log_weight: weight of the error of log depth, up to the frame's scale; far surfaces count as near ones do.
      below_zero_weight: weight of the term that keeps the output for single frames above zero, where the last ReLU
        cuts it off.
      least_crop: shortest side of the part that is cut out of a single frame, relative to the frame's; 1 for whole
        frames.
      coarse_output: compare single frames at 4/7 of the network's size, which makes a step a sixth cheaper; finish a
        run without it.
      measure_every: steps between evaluations on the held-out scenes, in the first two stages; 0 for none.
      save_every: steps between checkpoints.
      log_every: steps between lines of `metrics.jsonl`.
      picture_every: steps between pictures.
      allow_changes: allow resuming with settings that differ from those of the checkpoint and affect its stage; steps
        and what is written when may change anyway, and so may `coarse_output`.
    """

    families: tuple[tuple[str, float], ...] = (("colon", 1.0),)
    data_seed: int = 1
    frame_height: int = 128
    frame_width: int = 160
    scenes: int = 4000
    frames_per_scene: int = 4
    clips: int = 400
    clip_length: int = 32
    tools: int = 0
    wide_lenses: float = 0.0
    other_cameras: float = 0.0
    other_cameras_of: tuple[tuple[str, float], ...] = ()
    cache: str = ""
    workers: int = 0
    image_steps: int = 12_000
    clip_steps: int = 2_000
    scenes_per_step: int = 4
    clips_per_step: int = 1
    motion_clips: int = 400
    motion_clip_length: int = 6
    motion_clips_per_step: int = 2
    flow_steps: int = 3_000
    camera_steps: int = 3_000
    resnet_layers: int = 10
    image_learning_rate: float = 5e-4
    clip_learning_rate: float = 1e-4
    motion_learning_rate: float = 1e-3
    decay_share: float = 0.2
    warm_up_steps: int = 300
    weight_decay: float = 0.02
    clip_norm: float = 1.0
    ema_decay: float = 0.998
    gradient_weight: float = 0.5
    temporal_weight: float = 10.0
    anchor_weight: float = 0.0
    log_weight: float = 0.0
    below_zero_weight: float = 0.5
    least_crop: float = 0.5
    coarse_output: bool = False
    measure_every: int = 0
    save_every: int = 200
    log_every: int = 20
    picture_every: int = 500
    allow_changes: bool = False

    def __post_init__(self):
        check_numbers(
            self,
            "pretrain",
            positive=(
                "scenes", "clips", "motion_clips", "frames_per_scene", "scenes_per_step", "clips_per_step",
                "motion_clips_per_step", "save_every", "log_every", "picture_every",
            ),
        )  # fmt: skip
        if not 2 <= self.clip_length <= MAX_FRAMES:
            raise ValueError(f"pretrain.clip_length: {self.clip_length} must be between 2 and {MAX_FRAMES}")
        if not self.families:
            raise ValueError("pretrain.families: empty; name a family and its weight")
        for family, weight in self.families:
            if family not in FAMILY_NAMES or family == FINE_TUNED_FAMILY:
                known = ", ".join(name for name in FAMILY_NAMES if name != FINE_TUNED_FAMILY)
                raise ValueError(f"pretrain.families: {family!r} is not one of {known}")
            if not weight > 0:
                raise ValueError(f"pretrain.families: the weight of {family}, {weight}, must be above 0")
        for field in ("frame_height", "frame_width"):
            if getattr(self, field) < LEAST_SIDE or getattr(self, field) % 8:
                raise ValueError(
                    f"pretrain.{field}: {getattr(self, field)} must be a multiple of 8, at least {LEAST_SIDE}"
                )
        if self.frames_per_scene > FAR_SCENE_FRAMES:
            raise ValueError(
                f"pretrain.frames_per_scene: {self.frames_per_scene} must be at most the {FAR_SCENE_FRAMES} of a path"
            )
        if self.data_seed >= SEEDS:
            raise ValueError(f"pretrain.data_seed: {self.data_seed} must be below {SEEDS}")
        if self.tools > MOST_TOOLS:
            raise ValueError(f"pretrain.tools: {self.tools} must be at most {MOST_TOOLS}")
        for field in ("wide_lenses", "other_cameras"):
            if getattr(self, field) > 1:
                raise ValueError(f"pretrain.{field}: {getattr(self, field)} must be at most 1")
        for family, strength in self.other_cameras_of:
            if family not in dict(self.families):
                raise ValueError(f"pretrain.other_cameras_of: {family!r} is not among pretrain.families")
            if not 0 <= strength <= 1:
                raise ValueError(f"pretrain.other_cameras_of: {family}, {strength}, must be in [0, 1]")
        if self.workers and not self.cache:
            raise ValueError("pretrain.workers: scenes rendered beforehand need a place; name pretrain.cache")
        if not 0 < self.decay_share <= 1:
            raise ValueError(f"pretrain.decay_share: {self.decay_share} must be above 0 and at most 1")
        if not 0 < self.least_crop <= 1:
            raise ValueError(f"pretrain.least_crop: {self.least_crop} must be above 0 and at most 1")
        if self.motion_clip_length < 2:
            raise ValueError(f"pretrain.motion_clip_length: {self.motion_clip_length} frames have no motion; use 2")
        if self.resnet_layers not in RESNETS:
            raise ValueError(
                f"pretrain.resnet_layers: {self.resnet_layers} is not one of {', '.join(map(str, RESNETS))}"
            )
        if self.ema_decay >= 1:
            raise ValueError(f"pretrain.ema_decay: {self.ema_decay} must be in [0, 1)")

    @property
    def changes_cameras(self) -> bool:
        """Whether frames of any family are changed to look like another endoscope's."""
        return bool(self.other_cameras or self.other_cameras_of)
