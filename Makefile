# make run     set up a virtualenv and start a relay to play with (etc/quickstart.yaml)
# make test    set up everything and run the whole test suite
# make check   the quick tier: no daemon, no other programs, under two minutes
# make bench   twistedrelay and Postfix under the same load, and the memory of idle sessions (as root)
# make man     the manual as man pages, in build/man
# make clean   remove what the others made

VENV := .venv
PYTHON := $(VENV)/bin/python

.PHONY: run test check lint programs bench man clean

run: $(VENV)/installed
	@VENV=$(VENV) exec sh etc/quickstart.sh

test: $(VENV)/installed-for-tests programs lint
	$(PYTHON) -m pytest -n 2 --dist worksteal

check: $(VENV)/installed-for-tests lint
	$(PYTHON) -m pytest -n 2 -q -m "not end_to_end and not slow"

lint: $(VENV)/installed-for-tests
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy

programs: $(VENV)/installed-for-tests
	$(PYTHON) -m tests.programs

bench: $(VENV)/installed-for-tests programs
	$(PYTHON) benchmarks/relay.py
	$(PYTHON) benchmarks/idle.py
	$(PYTHON) benchmarks/fairness.py --domains 300 --recipients 20000

man: $(VENV)/installed-for-tests
	$(PYTHON) -m sphinx -q -b man docs build/man

clean:
	rm -rf $(VENV) .test-programs .quickstart build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV)/bin/python:
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed"; exit 1; }
	@python3 -c 'import ensurepip, venv' 2>/dev/null || sh etc/install-venv.sh
	python3 -m venv $(VENV)

$(VENV)/installed: $(VENV)/bin/python setup.cfg pyproject.toml
	$(PYTHON) -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/installed-for-tests: $(VENV)/bin/python setup.cfg pyproject.toml
	$(PYTHON) -m pip install --quiet --disable-pip-version-check -e '.[test]'
	@touch $@ $(VENV)/installed
