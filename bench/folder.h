/* SPDX-License-Identifier: MIT */
/* Folders that results and pictures go into. */
#ifndef KMEMBENCH_FOLDER_H
#define KMEMBENCH_FOLDER_H

/*
 * Makes a folder and those above it, as mkdir -p; one that is there will do when it can
 * be written. 0 or -errno with a text.
 */
int folder_make(const char *path);

#endif /* KMEMBENCH_FOLDER_H */
