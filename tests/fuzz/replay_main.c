/* Runs a fuzz target over every file of the folders given: the corpus is a regression test everywhere. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int
run_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	if (f == NULL) {
		perror(path);
		return 1;
	}
	uint8_t *data = malloc(1 << 20);
	size_t n = data == NULL ? 0 : fread(data, 1, 1 << 20, f);
	(void)fclose(f);
	/* An exact-size copy, so that a sanitizer sees a read past the end. */
	uint8_t *exact = malloc(n > 0 ? n : 1);
	if (data != NULL && exact != NULL) {
		memcpy(exact, data, n);
		(void)LLVMFuzzerTestOneInput(exact, n);
	}
	free(exact);
	free(data);
	return 0;
}

int
main(int argc, char **argv)
{
	int files = 0, bad = 0;
	uint8_t none = 0;
	(void)LLVMFuzzerTestOneInput(&none, 0);
	for (int i = 1; i < argc; i++) {
		DIR *d = opendir(argv[i]);
		if (d == NULL) {
			(void)fprintf(stderr, "%s: no corpus: add one\n", argv[i]);
			return 1;
		}
		for (struct dirent *e; (e = readdir(d)) != NULL;) {
			char path[4096];
			struct stat st;
			(void)snprintf(path, sizeof(path), "%s/%s", argv[i], e->d_name);
			if (stat(path, &st) != 0 || !S_ISREG(st.st_mode))
				continue;
			bad += run_file(path);
			files++;
		}
		(void)closedir(d);
	}
	printf("replayed %d files\n", files);
	return bad != 0 || files == 0;
}
