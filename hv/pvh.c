/* SPDX-License-Identifier: Apache-2.0 */
/* The loader of PVH kernels. */
#include "hv/pvh.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "hv/layout.h"
#include "lib/span.h"

/* Below lies what we write, and what PCs have there: nothing of a kernel's. */
#define PVH_LOWEST    MiB
#define PVH_LOW_RAM   (640 * KiB)
#define PVH_MAP	      0x6100UL
#define PVH_CMDLINE   0x7000UL
#define PVH_MAGIC     0x336ec578U
#define PVH_MAP_RAM   1
#define PVH_MAP_SPARE 2
#define PVH_MAP_MAX   (2 + RAM_MAX_REGIONS)

#define NOTE_OWNER	  "Xen"
#define NOTE_PHYS32_ENTRY 18
#define NOTES_MAX	  (4 * KiB)
#define NOTE_ALIGN	  4

#define HEADERS_MAX 64

/* The ABI's structures, version 1. */
struct pvh_start_info {
	u32 magic, version, flags, modules;
	u64 modules_gpa, cmdline_gpa, rsdp_gpa, map_gpa;
	u32 map_entries, reserved;
};

struct pvh_map_entry {
	u64 gpa, bytes;
	u32 type, reserved;
};

_Static_assert(sizeof(struct pvh_start_info) == 56, "ABI");
_Static_assert(sizeof(struct pvh_map_entry) == 24, "ABI");
_Static_assert(PVH_MAP + PVH_MAP_MAX * sizeof(struct pvh_map_entry) <= PVH_CMDLINE, "no overlap");
_Static_assert(PVH_CMDLINE + PVH_CMDLINE_MAX <= PVH_LOW_RAM, "in low memory");

/* A file on its way through the checks. */
struct pvh_file {
	int fd;
	u64 bytes;
	u32 headers;
	Elf64_Phdr header[HEADERS_MAX];
};

static int read_exactly(int fd, u8 *to, u64 bytes, u64 offset)
{
	while (bytes) {
		ssize_t got = pread(fd, to, bytes, (off_t)offset);

		if (got < 0 && errno != EINTR)
			return -errno;
		if (!got)
			return -ENODATA;
		if (got > 0) {
			to += got;
			bytes -= (u64)got;
			offset += (u64)got;
		}
	}
	return 0;
}

static bool in_file(const struct pvh_file *file, u64 offset, u64 bytes)
{
	return offset <= file->bytes && bytes <= file->bytes - offset;
}

static const char *read_headers(struct pvh_file *file)
{
	u64 table_bytes;
	Elf64_Ehdr elf;

	if (!in_file(file, 0, sizeof(elf)) || read_exactly(file->fd, (u8 *)&elf, sizeof(elf), 0))
		return "not an ELF file: shorter than its header";
	if (memcmp(elf.e_ident, ELFMAG, SELFMAG))
		return "not an ELF file: give the uncompressed vmlinux, not a bzImage";
	if (elf.e_ident[EI_CLASS] != ELFCLASS64 || elf.e_ident[EI_DATA] != ELFDATA2LSB ||
	    elf.e_machine != EM_X86_64)
		return "not an ELF file for x86-64";
	if (elf.e_type != ET_EXEC)
		return "not an executable ELF file";
	if (elf.e_phentsize != sizeof(Elf64_Phdr))
		return "segment headers of an unknown size";
	if (!elf.e_phnum || elf.e_phnum > HEADERS_MAX)
		return "no segments, or too many";
	table_bytes = elf.e_phnum * sizeof(Elf64_Phdr);
	file->headers = elf.e_phnum;
	if (!in_file(file, elf.e_phoff, table_bytes) ||
	    read_exactly(file->fd, (u8 *)file->header, table_bytes, elf.e_phoff))
		return "segment headers beyond the end of the file";
	return NULL;
}

/* Takes a segment, or says what is wrong with it. */
static const char *add_segment(const struct pvh_file *file, const Elf64_Phdr *header,
			       struct pvh_image *image)
{
	struct pvh_segment segment = {header->p_paddr, header->p_offset, header->p_filesz,
				      header->p_memsz};
	u64 end;

	if (!in_file(file, segment.offset, segment.file_bytes))
		return "a segment beyond the end of the file";
	if (segment.file_bytes > segment.memory_bytes)
		return "a segment larger in the file than in memory";
	if (segment.gpa < PVH_LOWEST)
		return "a segment below 1 MiB";
	if (__builtin_add_overflow(segment.gpa, segment.memory_bytes, &end))
		return "a segment beyond the end of all memory";
	for (u32 i = 0; i < image->count; i++) {
		const struct pvh_segment *other = &image->segments[i];

		if (spans_overlap(segment.gpa, segment.memory_bytes, other->gpa,
				  other->memory_bytes))
			return "two segments that overlap";
	}
	if (image->count == PVH_MAX_SEGMENTS)
		return "too many segments";
	image->segments[image->count++] = segment;
	return NULL;
}

/* A note is its header, a name and a descriptor, each filled up to a multiple of four bytes. Returns
 * its length, 0 if it does not fit; *entry is set by the one that is looked for. */
static u64 take_note(const u8 *note, u64 room, u64 *entry)
{
	u64 name_bytes, desc_bytes, value = 0;
	Elf64_Nhdr header;

	if (room < sizeof(header))
		return 0;
	memcpy(&header, note, sizeof(header));
	name_bytes = ALIGN_UP((u64)header.n_namesz, NOTE_ALIGN);
	desc_bytes = ALIGN_UP((u64)header.n_descsz, NOTE_ALIGN);
	room -= sizeof(header);
	if (name_bytes > room || desc_bytes > room - name_bytes)
		return 0;
	if (header.n_type == NOTE_PHYS32_ENTRY && header.n_namesz == sizeof(NOTE_OWNER) &&
	    !memcmp(note + sizeof(header), NOTE_OWNER, sizeof(NOTE_OWNER)) &&
	    (header.n_descsz == sizeof(u32) || header.n_descsz == sizeof(u64))) {
		memcpy(&value, note + sizeof(header) + name_bytes, header.n_descsz);
		*entry = value;
	}
	return sizeof(header) + name_bytes + desc_bytes;
}

static const char *read_notes(const struct pvh_file *file, const Elf64_Phdr *header, u64 *entry)
{
	u64 bytes = MIN(header->p_filesz, NOTES_MAX);
	u8 notes[NOTES_MAX];
	u64 at = 0, length;

	if (!in_file(file, header->p_offset, header->p_filesz) ||
	    read_exactly(file->fd, notes, bytes, header->p_offset))
		return "notes beyond the end of the file";
	while ((length = take_note(notes + at, bytes - at, entry)) > 0)
		at += length;
	return NULL;
}

static const char *take_segments(const struct pvh_file *file, struct pvh_image *image)
{
	const char *why = NULL;

	for (u32 i = 0; i < file->headers && !why; i++) {
		const Elf64_Phdr *header = &file->header[i];

		if (header->p_type == PT_LOAD && header->p_memsz)
			why = add_segment(file, header, image);
		else if (header->p_type == PT_NOTE)
			why = read_notes(file, header, &image->entry);
	}
	return why;
}

static bool enters_code(const struct pvh_image *image)
{
	for (u32 i = 0; i < image->count; i++) {
		const struct pvh_segment *segment = &image->segments[i];

		if (image->entry >= segment->gpa &&
		    image->entry - segment->gpa < segment->file_bytes)
			return true;
	}
	return false;
}

static bool fits(const struct pvh_image *image, u64 ram_bytes)
{
	u64 low = MIN(ram_bytes, HV_HOLE_START);

	for (u32 i = 0; i < image->count; i++)
		if (image->segments[i].gpa + image->segments[i].memory_bytes > low)
			return false;
	return true;
}

int pvh_open(int fd, u64 bytes, u64 ram_bytes, struct pvh_image *image, const char **why)
{
	struct pvh_file file = {.fd = fd, .bytes = bytes};

	*image = (struct pvh_image){.fd = -1};
	*why = read_headers(&file);
	if (!*why)
		*why = take_segments(&file, image);
	if (*why)
		return -ENOEXEC;
	*why = "no PVH entry note: the kernel needs CONFIG_PVH=y";
	if (!image->entry)
		return -ENOEXEC;
	*why = "a PVH entry outside its code";
	if (!enters_code(image))
		return -ENOEXEC;
	*why = "it does not fit into the guest's memory: give the guest more";
	if (!fits(image, ram_bytes))
		return -E2BIG;
	*why = "cannot keep the file open";
	image->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return image->fd < 0 ? -errno : 0;
}

int pvh_load(const struct pvh_image *image, const struct ram *ram)
{
	for (u32 i = 0; i < image->count; i++) {
		const struct pvh_segment *segment = &image->segments[i];
		hva_t to;
		int err = gpa_to_hva(ram, gpa(segment->gpa), segment->memory_bytes, &to);

		if (!err)
			err = read_exactly(image->fd, to.ptr, segment->file_bytes, segment->offset);
		if (err)
			return err;
	}
	return 0;
}

/* Low memory is one region, whatever the size of RAM: its host address is RAM's base. */
static void put(const struct ram *ram, u64 at, const void *from, u64 bytes)
{
	memcpy(ram->base + at, from, bytes);
}

static u32 write_map(const struct ram *ram)
{
	struct pvh_map_entry map[PVH_MAP_MAX] = {
		{0, PVH_LOW_RAM, PVH_MAP_RAM, 0},
		{PVH_LOW_RAM, PVH_LOWEST - PVH_LOW_RAM, PVH_MAP_SPARE, 0},
	};
	u32 entries = 2;

	for (u32 i = 0; i < ram->count; i++) {
		u64 skip = i ? 0 : PVH_LOWEST;

		map[entries++] = (struct pvh_map_entry){
			.gpa = ram->regions[i].gpa.value + skip,
			.bytes = ram->regions[i].length - skip,
			.type = PVH_MAP_RAM,
		};
	}
	put(ram, PVH_MAP, map, entries * sizeof(map[0]));
	return entries;
}

void pvh_write_start_info(const struct ram *ram, const char *cmdline)
{
	struct pvh_start_info info = {
		.magic = PVH_MAGIC,
		.version = 1,
		.cmdline_gpa = PVH_CMDLINE,
		.map_gpa = PVH_MAP,
		.map_entries = write_map(ram),
	};

	put(ram, PVH_START_INFO, &info, sizeof(info));
	/* The NUL behind it is there already: memory is zero. */
	put(ram, PVH_CMDLINE, cmdline, strnlen(cmdline, PVH_CMDLINE_MAX - 1));
}

void pvh_close(struct pvh_image *image)
{
	if (image->fd >= 0)
		close(image->fd);
	image->fd = -1;
}
