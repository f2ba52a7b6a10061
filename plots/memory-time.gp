# SPDX-License-Identifier: MIT
# Bytes over time: a panel for each allocator, resident, usable and live.
# Index 1: panel, seconds, resident (and of all blocks the least and the most), usable,
# live; panels divided by an empty line. 2: panel, where a phase begins, its name or "-". 3:
# bounds on the memory needed, their names. The first rows of 2 and 3 are empty.
DATA = ARG1; OUT = ARG2; TERMINAL = ARG3; TITLE = ARG4; SUBTITLE = ARG5; CAPTION = ARG6

# Panels decide the height, so they are counted before the terminal is set.
set datafile separator tab
PANELS = 0
stats DATA index 0 using (PANELS = PANELS + 1, 1) nooutput
HEIGHT = int((PANELS + 1) / 2) * 205 + 190
HEIGHT = HEIGHT < 520 ? 520 : HEIGHT
load ARG0[1:strlen(ARG0) - strlen("memory-time.gp")]."common.gp"

stats DATA index 1 using 2 nooutput
T_MAX = STATS_max
stats DATA index 1 using 5 nooutput
MAX = STATS_max
do for [c in "3 6 7"] {
    # An allocator that tells no usable sizes has none in that column.
    stats DATA index 1 using (valid(c + 0) ? column(c + 0) : 0) nooutput
    MAX = STATS_max > MAX ? STATS_max : MAX
}
# A bound far above would flatten all else: then it is told and not drawn.
array BOUND[5]
array BOUND_NAME[5]
BOUNDS = 0
stats DATA index 3 using ($1 == $1 ? (BOUNDS = BOUNDS + 1, BOUND[BOUNDS] = $1, BOUND_NAME[BOUNDS] = strcol(2), 1) : 0) nooutput
SHOW_MAX = 4 * MAX
do for [i = 1:BOUNDS] { MAX = (BOUND[i] > MAX && BOUND[i] <= SHOW_MAX) ? BOUND[i] : MAX }
array PHASE_PANEL[2001]
array BEGIN[2000]
array PHASE[2000]
PHASES = 0
stats DATA index 2 using ($1 > 0 ? (PHASES = PHASES + 1, PHASE_PANEL[PHASES] = $1, BEGIN[PHASES] = $2, PHASE[PHASES] = strcol(3), 1) : 0) nooutput
PHASE_PANEL[PHASES + 1] = 0

KEYS = 3
KEY_TEXT[1] = "resident, R"; KEY_TEXT[2] = "usable, U"; KEY_TEXT[3] = "live, L"
if (PHASES > 0) { KEYS = KEYS + 1; KEY_TEXT[KEYS] = "phase"; KEY_TYPE[KEYS] = 204 }
do for [i = 1:BOUNDS] {
    KEYS = KEYS + 1
    KEY_TEXT[KEYS] = BOUND[i] <= SHOW_MAX ? BOUND_NAME[i] : BOUND_NAME[i].", ".bytes(BOUND[i])
    KEY_TYPE[KEYS] = 204 + i
}
set linetype 201 lc rgb "#444444" lw 2 pt -1
set linetype 202 lc rgb "#444444" lw 1.3 dashtype 2 pt -1
set linetype 203 lc rgb "#000000" lw 1.5 dashtype 3 pt -1
set linetype 204 lc rgb "#999999" lw 1 dashtype 4 pt -1
set linetype 205 lc rgb "#b00020" lw 1.5 dashtype 5 pt -1
set linetype 206 lc rgb "#b00020" lw 1.5 dashtype 3 pt -1
do for [i = 1:3] { KEY_TYPE[i] = 200 + i }
@set_own_key

GAP_Y = px(58)
GAP_X = wpx(96)
LEFT = wpx(96)
@panels_layout
set multiplot
set xrange [0:T_MAX]
# The names of phases stand above the lines.
set yrange [0:MAX * 1.2]
STEP = byte_step(MAX)
set ytics ()
do for [t = 0:8] { if (STEP * t <= MAX * 1.2) { set ytics add (bytes(STEP * t) STEP * t) } }
set style fill transparent solid 0.22 noborder
do for [i = 1:BOUNDS] {
    if (BOUND[i] <= SHOW_MAX) { set arrow (5000 + i) from graph 0, first BOUND[i] to graph 1, first BOUND[i] nohead front linetype (204 + i) }
}
do for [p = 1:PANELS] {
    set lmargin at screen panel_left(p); set rmargin at screen panel_right(p)
    set tmargin at screen panel_top(p); set bmargin at screen panel_bottom(p)
    set label 1 S_NAME[p] at graph 0, screen panel_top(p) + px(12) left textcolor rgb TEXT
    do for [i = 1:PHASES] {
        if (PHASE_PANEL[i] == p) {
            set arrow i from first BEGIN[i], graph 0 to first BEGIN[i], graph 1 nohead back linetype 204
            # Of two that begin close together the later one is named.
            NAMED = PHASE[i] eq "-" ? 0 : PHASE_PANEL[i + 1] != p || BEGIN[i + 1] - BEGIN[i] > 0.12 * T_MAX
            if (NAMED) {
                # At the axis' end the name stands before its line, not in the key.
                if (BEGIN[i] < 0.85 * T_MAX) {
                    set label (2000 + i) PHASE[i] at first BEGIN[i], graph 0.94 left offset character 0.4, 0 textcolor rgb MUTED font SMALL_FONT
                } else {
                    set label (2000 + i) PHASE[i] at first BEGIN[i], graph 0.94 right offset character -0.4, 0 textcolor rgb MUTED font SMALL_FONT
                }
            }
        }
    }
    BELOW = p > PANELS - COLUMNS ? "seconds since the memory pass began" : ""
    set xlabel BELOW
    plot DATA index 1 using ($1 == p ? $2 : NaN):4:5 with filledcurves lc rgb S_COLOUR[p], \
        DATA index 1 using ($1 == p ? $2 : NaN):3 with lines lc rgb S_COLOUR[p] lw 2.2, \
        DATA index 1 using ($1 == p ? $2 : NaN):6 with lines lc rgb S_COLOUR[p] lw 1.3 dashtype 2, \
        DATA index 1 using ($1 == p ? $2 : NaN):7 with lines linetype 203
    do for [i = 1:PHASES] {
        unset arrow i
        unset label (2000 + i)
    }
    do for [l = 1001:1003] { unset label l }
}
@draw_key
unset multiplot
