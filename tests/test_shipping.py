"""What a release is made of: images by hadolint's rules, workflows that name what is there, and an sdist with tests."""

import itertools
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
DOCKERFILES = ["Dockerfile", "Dockerfile.cuda"]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def instructions(name: str) -> list[tuple[str, str]]:
    """(instruction, arguments) of each step, continued lines joined."""
    text = re.sub(r"\\\n\s*", " ", (ROOT / name).read_text())
    lines = (line for line in text.splitlines() if line and not line.startswith("#"))
    return [tuple(line.split(" ", 1)) for line in lines]


def arguments(name: str, instruction: str) -> list[str]:
    """What all steps of one kind are given."""
    return [given for kind, given in instructions(name) if kind == instruction]


@pytest.mark.parametrize("name", DOCKERFILES)
def test_images_follow_hadolint_s_rules(name):
    steps = instructions(name)
    assert {kind for kind, _ in steps} <= {"FROM", "ENV", "WORKDIR", "COPY", "RUN", "USER", "ENTRYPOINT", "CMD"}
    (base,) = arguments(name, "FROM")
    assert re.fullmatch(r"[\w/.-]+:[\w.-]+", base)  # DL3006, DL3007: a tag
    assert not base.endswith(":latest")
    assert arguments(name, "USER")[-1] not in ("root", "0")  # DL3002
    assert all(path.startswith("/") for path in arguments(name, "WORKDIR"))  # DL3000
    assert all(given.startswith("[") for kind in ("ENTRYPOINT", "CMD") for given in arguments(name, kind))  # DL3025
    runs = arguments(name, "RUN")
    assert not any(re.search(r"\b(sudo|cd|apt|wget|curl)\b", run) for run in runs)  # DL3003, DL3004, DL3027, DL4001
    for run in runs:
        assert run.count("pip install") == run.count("pip install --no-cache-dir")  # DL3042
        assert "|" not in run  # DL4006
    kinds = [kind for kind, _ in steps]
    assert ("RUN", "RUN") not in list(itertools.pairwise(kinds))  # DL3059
    assert kinds.index("WORKDIR") < kinds.index("COPY")  # DL3045


@pytest.mark.parametrize("name", DOCKERFILES)
def test_images_run_the_program_as_nobody_in_particular_where_the_user_s_files_are(name):
    assert arguments(name, "ENTRYPOINT") == ['["endodav"]']
    assert arguments(name, "WORKDIR")[-1] == "/data"
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for given in arguments(name, "COPY"):
        for source in shlex.split(given)[:-1]:
            assert (ROOT / source).exists()
            assert source.split("/")[0] in kept


def test_the_images_differ_in_the_accelerator_alone():
    cpu, cuda = (instructions(name) for name in DOCKERFILES)
    differing = [(a, b) for a, b in zip(cpu, cuda, strict=True) if a != b]
    assert [kind for (kind, _), _ in differing] == ["ENV", "RUN"]
    (of_cpu,), (of_cuda,) = (re.findall(r"\[([\w,]+)\]", given) for _, given in differing[1])
    extras = [*of_cpu.split(","), *of_cuda.split(",")]
    assert all(f"\n{extra} =" in (ROOT / "setup.cfg").read_text() for extra in extras)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_run_files_that_are_there(path):
    jobs = yaml.safe_load(path.read_text())["jobs"]
    commands = "\n".join(step.get("run", "") for job in jobs.values() for step in job["steps"])
    files = re.findall(r"bash (\S+)", commands)
    targets = re.findall(r"make (\w+)", commands)
    assert files or targets
    assert [name for name in files if not (ROOT / name).is_file()] == []
    assert set(targets) <= set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for job in jobs.values():
        needs = job.get("needs", [])
        assert set([needs] if isinstance(needs, str) else needs) <= jobs.keys()


def test_a_release_has_the_version_of_the_package_and_no_password():
    text = (ROOT / ".github" / "workflows" / "release.yml").read_text()
    (pattern,) = re.findall(r"sed -n 's/(.*)/\\1/p'", text)
    from endodav_jax.version import __version__

    source = (ROOT / "endodav_jax" / "version.py").read_text()
    found = re.search(pattern.replace(r"\(", "(").replace(r"\)", ")"), source)
    assert found is not None
    assert found[1] == __version__
    assert "secrets." not in text


@pytest.mark.parametrize(("tag", "found"), [("v0.1.0", True), ("v9.9.9", False), ("v0.1", False)])
def test_a_release_without_notes_in_the_changelog_is_stopped(tag, found):
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text())["jobs"]
    (command,) = (step["run"] for step in jobs["build"]["steps"] if "CHANGELOG.md" in step.get("run", ""))
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, env=os.environ | {"GITHUB_REF_NAME": tag})
    assert (done.returncode == 0) == found


def test_the_sdist_holds_the_whole_repository_so_that_its_tests_can_be_run(monkeypatch):
    egg_info = pytest.importorskip("setuptools.command.egg_info", reason="setuptools is not installed")
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if tracked.returncode:
        pytest.skip("not in a clone")
    monkeypatch.chdir(ROOT)
    shipped = egg_info.FileList()
    for line in (ROOT / "MANIFEST.in").read_text().splitlines():
        if line and not line.startswith("#"):
            shipped.process_template_line(line)
    # The package's own files come by themselves, `setup.cfg` and its like too.
    by_themselves = {"setup.cfg", "pyproject.toml", "LICENSE", "MANIFEST.in"}
    wanted = {name for name in tracked.stdout.split("\0") if name and not name.startswith("endodav_jax/")}
    assert wanted - by_themselves - set(shipped.files) == set()
    assert not any("__pycache__" in name for name in shipped.files)
