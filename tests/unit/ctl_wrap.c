/* SPDX-License-Identifier: Apache-2.0 */
/* What `ballast wrap` reads out of QEMU's options. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "ctl/wrap.h"

static struct wrap_view view;
static char why[256];

#define LOOK(...)                                                                                  \
	({                                                                                         \
		char *const argv[] = {__VA_ARGS__, NULL};                                          \
		wrap_look((int)ARRAY_SIZE(argv) - 1, argv, &view, why, sizeof(why));               \
	})

Test(ctl_wrap, memory_in_every_spelling)
{
	cr_assert_eq(LOOK("-nodefaults"), 0);
	cr_expect_eq(view.bytes, 128 * MiB);
	cr_expect_eq(view.max_bytes, 128 * MiB);
	cr_assert_eq(LOOK("-m", "512"), 0);
	cr_expect_eq(view.bytes, 512 * MiB);
	cr_assert_eq(LOOK("-m", "2G"), 0);
	cr_expect_eq(view.max_bytes, 2 * GiB);
	cr_assert_eq(LOOK("-m", "512M,slots=2,maxmem=4G"), 0);
	cr_expect_eq(view.bytes, 512 * MiB);
	cr_expect_eq(view.max_bytes, 4 * GiB);
	cr_assert_eq(LOOK("-m", "size=1024,maxmem=2048"), 0);
	cr_expect_eq(view.bytes, GiB);
	cr_expect_eq(view.max_bytes, 2 * GiB);
	cr_expect_eq(LOOK("-m", "much"), -EINVAL);
	cr_expect(strstr(why, "-m much"));
}

Test(ctl_wrap, backends_and_their_files)
{
	LOOK("-object", "rng-random,id=r");
	cr_expect_not(view.backend);
	LOOK("-object", "memory-backend-memfd,id=m,size=1G,share=on");
	cr_expect(view.backend);
	cr_expect_str_eq(view.paths, "");
	LOOK("-object", "memory-backend-file,id=a,mem-path=/x/a,size=1G", "-object",
	     "{\"qom-type\":\"memory-backend-file\",\"id\":\"b\",\"mem-path\":\"/x/b\",\"size\":1}");
	cr_expect(view.backend);
	cr_expect_str_eq(view.paths, "/x/a:/x/b");
}

/* As libvirt does, to find out what it can do: there is no guest, and no name for it. */
Test(ctl_wrap, questions_to_qemu_are_left_alone)
{
	LOOK("-S", "-nodefaults", "-machine", "none,accel=kvm:tcg", "-daemonize");
	cr_expect(view.no_guest);
	LOOK("-version");
	cr_expect(view.no_guest);
	LOOK("-device", "help");
	cr_expect(view.no_guest);
	LOOK("-machine", "q35", "-name", "nonesuch");
	cr_expect_not(view.no_guest);
}

Test(ctl_wrap, names_cpus_and_accelerators)
{
	LOOK("-name", "web", "-smp", "4", "-accel", "tcg");
	cr_expect_str_eq(view.name, "web");
	cr_expect_eq(view.vcpus, 4);
	cr_expect_not(view.kvm);
	LOOK("-name", "guest=db,debug-threads=on", "-smp", "2,maxcpus=8,cores=2", "-enable-kvm");
	cr_expect_str_eq(view.name, "db");
	cr_expect_eq(view.vcpus, 8);
	cr_expect(view.kvm);
	LOOK("-machine", "q35,accel=kvm:tcg");
	cr_expect(view.kvm);
	LOOK("-accel", "kvm");
	cr_expect(view.kvm);
	cr_expect_eq(LOOK("-smp", "none"), -EINVAL);
	cr_expect_eq(LOOK("-smp"), -EINVAL);
}
