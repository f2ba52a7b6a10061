/* SPDX-License-Identifier: MIT */
/* Pieces of HTML: escaping, numbers, inlined pictures, the style sheet. */
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "bench/plot_alloc.h"
#include "bench/report_internal.h"

const char report_css[] =
	":root{color-scheme:light dark;--bg:#fff;--fg:#1f2328;--muted:#656d76;--line:#d8dee4;"
	"--card:#f6f8fa;--accent:#b3470a;--warn-bg:#fff8e1;--warn-line:#d9a300;--bad:#b00020;"
	"--fast:0,114,178;--slow:213,94,0}\n"
	"@media (prefers-color-scheme:dark){:root{--bg:#0f1419;--fg:#e2e6ea;--muted:#9aa4ae;"
	"--line:#2e363e;--card:#171d23;--accent:#ff9a5c;--warn-bg:#2b2410;--warn-line:#a88400;"
	"--bad:#ff7a86;--fast:86,180,233;--slow:230,120,40}}\n"
	"*{box-sizing:border-box}\n"
	"body{margin:0;background:var(--bg);color:var(--fg);font:15px/1.55 system-ui,"
	"\"DejaVu Sans\",sans-serif}\n"
	"main{max-width:1240px;margin:0 auto;padding:2rem 1.25rem 4rem}\n"
	"h1{font-size:1.9rem;margin:0 0 .25rem}h2{margin:2.75rem 0 .75rem;font-size:1.35rem;"
	"border-bottom:1px solid var(--line);padding-bottom:.3rem}h3{margin:1.75rem 0 .5rem;"
	"font-size:1.05rem}\n"
	"p,li{max-width:75ch}.muted{color:var(--muted)}a{color:var(--accent)}\n"
	"nav{display:flex;flex-wrap:wrap;gap:.25rem 1.1rem;margin-top:.9rem}\n"
	".warn{background:var(--warn-bg);border-left:4px solid var(--warn-line);"
	"padding:.6rem 1rem;margin:1.25rem 0;border-radius:0 6px 6px 0}.warn ul{margin:.2rem 0;"
	"padding-left:1.2rem}\n"
	".scroll{overflow-x:auto}\n"
	"table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.87rem}\n"
	"th,td{padding:.28rem .6rem;text-align:right;border-bottom:1px solid var(--line);"
	"white-space:nowrap}\n"
	"thead th{color:var(--muted);font-weight:600;vertical-align:bottom;"
	"border-bottom:2px solid var(--line)}\n"
	"th:first-child,td.text,th.text{text-align:left}tbody th{font-weight:500}\n"
	"td.text.wrap{white-space:normal;max-width:70ch}\n"
	"tr.cell th{background:var(--card);font-weight:600;text-align:left}\n"
	"tr.mean th,tr.mean td{font-weight:600;border-bottom:2px solid var(--line)}\n"
	"td.best{font-weight:700;text-decoration:underline;text-underline-offset:3px}\n"
	".verdict-faster{color:rgb(var(--fast))}.verdict-slower{color:rgb(var(--slow))}"
	".verdict-cannot-tell{color:var(--muted)}\n"
	"td.none{color:var(--muted)}.bad{color:var(--bad)}.interval{color:var(--muted);"
	"font-size:.85em}\n"
	"i.mark{display:inline-block;width:.75em;height:.75em;border-radius:50%;"
	"margin-right:.45em;vertical-align:-.05em}\n"
	"figure{margin:1rem 0;background:#fff;border:1px solid var(--line);border-radius:8px;"
	"padding:.25rem;break-inside:avoid}figure svg{display:block;width:100%;height:auto}\n"
	"details{margin:.75rem 0}summary{cursor:pointer;font-weight:600}\n"
	"code{font:.9em ui-monospace,\"DejaVu Sans Mono\",monospace;background:var(--card);"
	"padding:.1em .3em;border-radius:4px;overflow-wrap:anywhere}\n"
	"dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1.25rem;margin:.5rem 0}"
	"dt{color:var(--muted)}dd{margin:0;overflow-wrap:anywhere}\n"
	"@media print{:root{color-scheme:light}body{font-size:10pt}main{max-width:none;"
	"padding:0}nav{display:none}.scroll{overflow:visible}table{font-size:7.5pt}"
	"h2{break-after:avoid}tr{break-inside:avoid}}\n";

void html_escape(FILE *out, const char *text)
{
	for (; *text != '\0'; text++) {
		switch (*text) {
		case '&': fputs("&amp;", out); break;
		case '<': fputs("&lt;", out); break;
		case '>': fputs("&gt;", out); break;
		case '"': fputs("&quot;", out); break;
		case '\'': fputs("&#39;", out); break;
		default: fputc(*text, out);
		}
	}
}

void html_printf(FILE *out, const char *fmt, ...)
{
	char *text = NULL;
	va_list args;

	va_start(args, fmt);
	if (vasprintf(&text, fmt, args) < 0)
		text = NULL;
	va_end(args);
	html_escape(out, plot_checked(text));
	free(text);
}

const char *html_number(double value, char *buf, size_t size)
{
	double magnitude = fabs(value);
	int digits = magnitude >= 100 ? 0 : magnitude >= 10 ? 1 : magnitude >= 1 ? 2 : 3;

	snprintf(buf, size, "%.*f", digits, value);
	/* A thin space between thousands: 1 234 567. */
	if (magnitude >= 10000) {
		char plain[64];
		size_t n, used = 0;

		snprintf(plain, sizeof(plain), "%.0f", value);
		n = strlen(plain);
		for (size_t i = 0; i < n && used + 4 < size; i++) {
			if (i > 0 && (n - i) % 3 == 0 && plain[i - 1] != '-') {
				memcpy(buf + used, "\u2009", 3);
				used += 3;
			}
			buf[used++] = plain[i];
		}
		buf[used] = '\0';
	}
	return buf;
}

void html_series_name(FILE *out, const struct series *s)
{
	fprintf(out, "<i class=\"mark\" style=\"background:#%06x\"></i>",
		s->style.colour);
	html_escape(out, s->name);
}

static char *read_text(const char *path)
{
	FILE *in = fopen(path, "r");
	char *text = NULL;
	size_t size = 0;
	ssize_t n;

	if (in == NULL)
		return NULL;
	n = getdelim(&text, &size, '\0', in);
	fclose(in);
	if (n > 0)
		return text;
	free(text);
	return NULL;
}

bool html_inline_svg(FILE *out, const char *path, const char *prefix)
{
	/* Where gnuplot names and refers to elements. */
	static const char *const before_id[] = {"id=\"", "id='", "href='#", "href=\"#",
						"url(#"};
	char *text = read_text(path), *at = text != NULL ? strstr(text, "<svg") : NULL;

	if (at == NULL) {
		free(text);
		return false;
	}
	while (*at != '\0') {
		size_t i, n = 0;

		for (i = 0; i < KMEM_ARRAY_SIZE(before_id); i++) {
			n = strlen(before_id[i]);
			if (strncmp(at, before_id[i], n) == 0)
				break;
		}
		if (i == KMEM_ARRAY_SIZE(before_id)) {
			fputc(*at++, out);
			continue;
		}
		fwrite(at, 1, n, out);
		fputs(prefix, out);
		at += n;
	}
	free(text);
	return true;
}
