# SPDX-License-Identifier: MIT
# What all pictures share. A script is called as
#
#   gnuplot -c NAME.gp TABLE OUTPUT svg|png TITLE SUBTITLE CAPTION
#
# sets DATA to SUBTITLE and CAPTION from its arguments, may set WIDTH and HEIGHT
# (pixels), and loads this file. Index 0 of the table lists the series with their
# looks (the table of looks is bench/plot_style.c); they become the line types
# 101, 102, ... so that an allocator looks the same everywhere.

if (!exists("WIDTH")) WIDTH = 1200
if (!exists("HEIGHT")) HEIGHT = 800

# Names contain underscores and carets that are not mark-up: noenhanced.
if (TERMINAL eq "svg") {
    set terminal svg noenhanced size WIDTH,HEIGHT font "DejaVu Sans,15" background "#ffffff" dashlength 1.2
} else {
    set terminal pngcairo noenhanced size WIDTH,HEIGHT font "DejaVu Sans,11" background "#ffffff" dashlength 1.2
}
set encoding utf8
# Gaps shorter than the strokes: gnuplot's own let a short piece of a curve disappear.
set dashtype 2 (9,4)
set dashtype 3 (2,3)
set dashtype 4 (9,3,2,3)
set dashtype 5 (9,3,2,3,2,3)
set output OUT
set datafile separator tab
set datafile missing "nan"

# --- the series ---
POINT_SCALE = (TERMINAL eq "svg") ? 0.72 : 1 # the terminals' units differ
array S_NAME[100]
array S_COLOUR[100]
array S_POINT[100]
array S_DASH[100]
array S_WIDTH[100]
array S_SIZE[100]
SERIES = 0
NAME_CHARS = 0
# A variant with many options: how it begins and how it ends tells it from the others.
short_name(n) = strlen(n) <= 44 ? n : substr(n, 1, 14)."…".substr(n, strlen(n) - 28, strlen(n))
stats DATA index 0 using (SERIES = SERIES + 1, \
    S_NAME[SERIES] = short_name(strcol(1)), S_COLOUR[SERIES] = $2, S_POINT[SERIES] = $3, \
    S_DASH[SERIES] = $4, S_WIDTH[SERIES] = $5, S_SIZE[SERIES] = $6 * POINT_SCALE, \
    NAME_CHARS = (strlen(S_NAME[SERIES]) > NAME_CHARS ? strlen(S_NAME[SERIES]) : NAME_CHARS), 1) nooutput
do for [i = 1:SERIES] {
    set linetype (100 + i) lc rgb S_COLOUR[i] pt S_POINT[i] dashtype S_DASH[i] lw S_WIDTH[i] ps S_SIZE[i]
}

# --- text around the picture; all in screen units, so that sizes keep with HEIGHT ---
px(n) = n * 1.0 / HEIGHT   # pixels downwards
wpx(n) = n * 1.0 / WIDTH   # pixels across
TEXT = "#222222"
MUTED = "#666666"
BIG = (TERMINAL eq "svg") ? 23 : 17
SMALL = (TERMINAL eq "svg") ? 12.5 : 9.2
TICS = (TERMINAL eq "svg") ? 13.5 : 10
CHAR_PX = 8.1 # mean width of a character of the key
set label 1001 TITLE at screen wpx(24), 1 - px(32) left front textcolor rgb TEXT font sprintf("DejaVu Sans,%g", BIG)
set label 1002 SUBTITLE at screen wpx(24), 1 - px(60) left front textcolor rgb MUTED
set label 1003 CAPTION at screen wpx(24), px(34) left front textcolor rgb MUTED font sprintf("DejaVu Sans,%g", SMALL)
TOP = 1 - px(84)
BOTTOM = px(56)

# --- axes and grid ---
set border 3 lw 1 lc rgb "#888888"
TIC_FONT = sprintf("DejaVu Sans,%g", TICS)
SMALL_FONT = sprintf("DejaVu Sans,%g", SMALL)
set tics nomirror font TIC_FONT textcolor rgb TEXT
set grid xtics ytics lt 1 lc rgb "#dcdcdc" lw 1 dashtype 1
set xlabel textcolor rgb TEXT
set ylabel textcolor rgb TEXT
set bars small
unset key

# Which multiples of a power of ten an axis that spans `ratio` shows.
steps(ratio) = ratio > 200 ? "1" : ratio > 25 ? "1 2 5" : ratio > 5 ? "1 1.5 2 3 5 7" : ratio > 1.8 ? "1 1.2 1.5 2 2.5 3 4 5 6 8" : \
    "1 1.05 1.1 1.15 1.2 1.25 1.3 1.35 1.4 1.5 1.6 1.7 1.8 1.9 2 2.2 2.4 2.6 2.8 3 3.25 3.5 3.75 4 4.25 4.5 4.75 5 5.5 6 6.5 7 7.5 8 8.5 9 9.5"
bytes(b) = b >= 2**30 ? sprintf("%.3g GiB", b / 2.0**30) : b >= 2**20 ? sprintf("%.3g MiB", b / 2.0**20) : b >= 1024 ? sprintf("%.3g KiB", b / 1024.0) : sprintf("%g B", b)
# Three to six steps of a power of two up to b.
byte_step(b) = 2.0**floor(log(b / 2.5) / log(2))
ns(v) = v < 1000 ? sprintf("%g ns", v) : v < 1e6 ? sprintf("%g µs", v / 1e3) : sprintf("%g ms", v / 1e6)

# --- the key: a column at the right, drawn as a plot of its own over the whole picture ---
KEY_PX = NAME_CHARS * CHAR_PX + 58
KEY_PX = KEY_PX > 420 ? 420 : KEY_PX
RIGHT = 1 - wpx(KEY_PX + 24)
# What it shows: the series, unless a script fills these and says so by set_own_key.
KEYS = SERIES
array KEY_TEXT[100]
array KEY_TYPE[100]
do for [i = 1:SERIES] { KEY_TEXT[i] = S_NAME[i]; KEY_TYPE[i] = 100 + i }
set_own_key = '\
    NAME_CHARS = 0;\
    do for [i = 1:KEYS] { NAME_CHARS = strlen(KEY_TEXT[i]) > NAME_CHARS ? strlen(KEY_TEXT[i]) : NAME_CHARS };\
    KEY_PX = NAME_CHARS * CHAR_PX + 58;\
    RIGHT = 1 - wpx(KEY_PX + 24)'
draw_key = '\
    unset logscale; unset xlabel; unset ylabel; unset tics; unset grid; unset border; unset title;\
    unset object; unset arrow;\
    unset label;\
    set lmargin at screen 0; set rmargin at screen 1; set bmargin at screen 0; set tmargin at screen 1;\
    set xrange [0:1]; set yrange [0:1];\
    set key at screen 1 - wpx(KEY_PX + 8), TOP left top vertical Left reverse samplen 2.2 spacing 1.35 width 0 textcolor rgb TEXT noenhanced;\
    plot for [i = 1:KEYS] 2 with linespoints linetype (KEY_TYPE[i]) title KEY_TEXT[i]'

# --- small multiples: panel p of 1..n, filled row by row ---
COLUMNS = 1
ROWS = 1
GAP_X = wpx(84)
GAP_Y = px(62)
LEFT = wpx(84)
panels_layout = 'COLUMNS = PANELS > 1 ? 2 : 1; ROWS = int((PANELS + COLUMNS - 1) / COLUMNS)'
panel_w(x) = (RIGHT - LEFT - GAP_X * (COLUMNS - 1)) / COLUMNS
panel_h(x) = (TOP - PANEL_BOTTOM - GAP_Y * (ROWS - 1)) / ROWS
PANEL_BOTTOM = BOTTOM + px(66)
panel_left(p) = LEFT + ((p - 1) % COLUMNS) * (panel_w(0) + GAP_X)
panel_right(p) = panel_left(p) + panel_w(0)
panel_top(p) = TOP - px(22) - int((p - 1) / COLUMNS) * (panel_h(0) + GAP_Y)
panel_bottom(p) = panel_top(p) + px(22) - panel_h(0)
