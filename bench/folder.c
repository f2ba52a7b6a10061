/* SPDX-License-Identifier: MIT */
/* Folders that results and pictures go into. */
#include "bench/folder.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <kmem/error.h>

int folder_make(const char *path)
{
	char part[PATH_MAX];
	struct stat st;

	if (path[0] == '\0' ||
	    (size_t)snprintf(part, sizeof(part), "%s", path) >= sizeof(part))
		return kmem_error(-EINVAL, "'%s' is no name for a folder", path);
	for (char *end = part + 1;; end++) {
		char c = *end;

		if (c != '/' && c != '\0')
			continue;
		*end = '\0';
		if (mkdir(part, 0777) != 0 && errno != EEXIST)
			return kmem_error(-errno, "cannot make the folder '%s': %m",
					  part);
		*end = c;
		if (c == '\0')
			break;
	}
	if (stat(path, &st) == 0 && !S_ISDIR(st.st_mode))
		return kmem_error(-ENOTDIR, "'%s' is a file: name a folder", path);
	if (access(path, W_OK | X_OK) != 0)
		return kmem_error(-errno, "cannot write into '%s': %m", path);
	return 0;
}
