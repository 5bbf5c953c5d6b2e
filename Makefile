# Two commands on a machine that has Python 3.11 or newer, git and make: each makes its environment and installs first.
#
#   make quickstart     everything on a rendered phantom, from measuring to a report in out/quickstart
#   make test           the fast tests
#
# VENV is where the environment goes, PYTHON what it is made with, INSTALL what pip installs into it (an accelerator:
# INSTALL='-e .[test,cuda13]'), PYTEST further arguments of the tests (PYTEST='-m slow').

VENV ?= .venv
INSTALL ?= -e .[test]
PYTEST ?=
OUT ?= out/quickstart
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11 python; do \
	if $$python -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then echo $$python; break; fi; done)

.PHONY: quickstart test install

quickstart: install
	$(VENV)/bin/endodav quickstart -o $(OUT)

test: install
	$(VENV)/bin/python -m pytest -n 2 $(PYTEST)

install: $(VENV)/installed

# Made anew where the requirements have changed.
$(VENV)/installed: setup.cfg pyproject.toml
	@test -n "$(PYTHON)" || { echo "make: found no Python 3.11 or newer; name one with PYTHON=..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	set -f; $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check $(INSTALL)
	touch $@
