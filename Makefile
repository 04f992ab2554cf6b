# Two commands do everything: `make demo` and `make test`; each sets up .venv first if it is not there.
PYTHON ?= python3
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
READY := $(VENV)/.ready

.PHONY: venv demo test test-long check format docs bench bench-photos bench-marks bench-marks-accuracy clean

venv: $(READY)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "finblend needs Python 3.11 or newer; try make PYTHON=python3.11")'
	@echo "Installing everything into $(VENV): torch is among it, so this takes minutes and about 3 GB of disk"
	$(PYTHON) -m venv $(VENV)
	PIP_CONSTRAINT=$(CURDIR)/constraints.txt $(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[all,dev]'
	touch $(READY)

demo: venv
	rm -rf build/demo
	mkdir -p build
	$(BIN)/finblend demo build/demo

# from another folder, so that the installed packages are tested and not whatever lies beside; WORKERS=0 for one process
WORKERS ?= 2
test: venv
	mkdir -p build/elsewhere
	cd build/elsewhere && FINBLEND_DATA="$${FINBLEND_DATA:-$(CURDIR)/../shared/data}" \
		$(BIN)/python -m pytest -q -p no:cacheprovider -n $(WORKERS) --dist worksteal $(CURDIR)/tests $(ARGS)

# ten times as many examples, others in every run
test-long: export FINBLEND_HYPOTHESIS := long
test-long: test

check: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# what ruff can mend by itself; the rest is told
format: venv
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# nothing is fetched; open build/docs/index.html
docs: venv
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet --doctree-dir build/doctrees docs build/docs

bench: venv
	$(BIN)/python -m benchmarks.speed.bench $(ARGS)

bench-photos: venv
	$(BIN)/python -m benchmarks.speed.photos $(ARGS)

bench-marks: venv
	$(BIN)/python -m benchmarks.speed.marks $(ARGS)

bench-marks-accuracy: venv
	$(BIN)/python -m benchmarks.accuracy.marks $(ARGS)

clean:
	rm -rf build dist $(VENV) .mypy_cache .ruff_cache .hypothesis
