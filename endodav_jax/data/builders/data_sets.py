"""The TFDS data sets by name.  What differs between them is their source; here they get a name and a description."""

import types

from endodav_jax.data.builders.video import VideoBuilder


class ScaredVideo(VideoBuilder):
    """SCARED: porcine cadavers, da Vinci endoscope, structured light moved by kinematics."""

    name = "scared_video"
    DESCRIPTION = "SCARED (MICCAI EndoVis 2019): left video, depth of keyframes moved along, world-to-camera poses."


class HamlynVideo(VideoBuilder):
    """Hamlyn, rectified by Endo-Depth-and-Motion: in-vivo laparoscopy, depth by stereo matching."""

    name = "hamlyn_video"
    DESCRIPTION = "Hamlyn videos as rectified by Endo-Depth-and-Motion: left video, depth by LIBELAS stereo."


class C3vd(VideoBuilder):
    """C3VD: colonoscope in a silicone phantom, depth rendered from a registered model."""

    name = "c3vd"
    DESCRIPTION = "C3VD: video colonoscopy of a phantom, rendered z-depth and poses; fisheye."


class Simcol3d(VideoBuilder):
    """SimCol3D: synthetic colonoscopy."""

    name = "simcol3d"
    DESCRIPTION = "SimCol3D: synthetic colonoscopy with exact depth and poses."


class Endonerf(VideoBuilder):
    """EndoNeRF: short robotic clips with a still camera, depth by stereo matching, masks of tools."""

    name = "endonerf"
    DESCRIPTION = "EndoNeRF: deforming tissue before a still camera; depth is an estimate from stereo."


class Frames(VideoBuilder):
    """A user's own video or folder of frames."""

    name = "frames"
    DESCRIPTION = "An endoscope's own video, with whatever is known of its camera, depth and motion."


class Phantom(VideoBuilder):
    """The procedural endoscopy world."""

    name = "phantom"
    DESCRIPTION = "Procedural endoscopy: exact depth, poses and intrinsics."


BUILDERS = types.MappingProxyType(
    {
        "scared": ScaredVideo,
        "hamlyn": HamlynVideo,
        "c3vd": C3vd,
        "simcol3d": Simcol3d,
        "endonerf": Endonerf,
        "frames": Frames,
        "phantom": Phantom,
    }
)
