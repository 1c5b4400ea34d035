"""Prints a JUnit report as JSON: how many tests passed and were skipped, and which failed, why."""

import json
import sys
from xml.etree import ElementTree

passed = skipped = 0
failures: list[dict[str, str]] = []
report = ElementTree.parse(sys.argv[1])  # noqa: S314 - written by pytest, just before
for case in report.iter("testcase"):
    broken = [*case.findall("failure"), *case.findall("error")]
    if broken:
        name = f"{case.get('classname')} > {case.get('name')}"
        failures.append({"name": name, "message": "\n".join(b.text or "" for b in broken)})
    elif case.find("skipped") is not None:
        skipped += 1
    else:
        passed += 1
json.dump({"passed": passed, "skipped": skipped, "failures": failures}, sys.stdout)
