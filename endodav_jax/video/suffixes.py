"""Suffixes by which a file is taken for a video, in small letters, with the dot."""

VIDEO_SUFFIXES = frozenset((
    ".3g2", ".3gp", ".264", ".265", ".amv", ".apng", ".asf", ".av1", ".avc", ".avi", ".dav", ".dif", ".divx",
    ".dv", ".evo", ".f4v", ".flv", ".gif", ".gxf", ".h264", ".h265", ".hevc", ".ivf", ".lrv", ".m1v", ".m2t",
    ".m2ts", ".m2v", ".m4v", ".mj2", ".mjpeg", ".mjpg", ".mk3d", ".mkv", ".mod", ".mov", ".mp2v", ".mp4",
    ".mpe", ".mpeg", ".mpg", ".mpv", ".mts", ".mxf", ".nsv", ".nut", ".obu", ".ogm", ".ogv", ".qt", ".rm",
    ".rmvb", ".tod", ".trp", ".ts", ".vob", ".webm", ".wmv", ".wtv", ".y4m",
))  # fmt: skip
