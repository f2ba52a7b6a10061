#!/bin/bash
# SPDX-License-Identifier: MIT
# The short forms of real_programs.sh, which says more.
exec "$(dirname "$0")/real_programs.sh"
