"""The embedded default: everything from rendered video to report in one run, with nothing to bring."""
