#!/usr/bin/env python3
"""validate.py SCHEMA FILE...: checks JSON files against a JSON Schema."""
import json
import sys

import jsonschema


def main():
    with open(sys.argv[1]) as file:
        schema = json.load(file)
    validator_class = jsonschema.validators.validator_for(schema)
    validator_class.check_schema(schema)
    validator = validator_class(schema)
    bad = False
    for path in sys.argv[2:]:
        with open(path) as file:
            document = json.load(file)
        for error in sorted(validator.iter_errors(document), key=lambda e: list(e.path)):
            where = "/".join(str(part) for part in error.path) or "(top)"
            print(f"{path}: {where}: {error.message}", file=sys.stderr)
            bad = True
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
