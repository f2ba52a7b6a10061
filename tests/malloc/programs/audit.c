/* SPDX-License-Identifier: MIT */
/* LD_AUDIT: a library of its own namespace that is told of each object; it allocates. */
#include <link.h>
#include <stdlib.h>
#include <string.h>

static char *last;

unsigned int la_version(unsigned int version)
{
	return version < LAV_CURRENT ? version : LAV_CURRENT;
}

unsigned int la_objopen(struct link_map *map, Lmid_t lmid, uintptr_t *cookie)
{
	(void)lmid;
	(void)cookie;
	free(last);
	last = strdup(map->l_name);
	return LA_FLG_BINDTO | LA_FLG_BINDFROM;
}

unsigned int la_objclose(uintptr_t *cookie)
{
	(void)cookie;
	free(last);
	last = malloc(100);
	return 0;
}
