/* SPDX-License-Identifier: Apache-2.0 */
/* The ELF loader and the page tables of the nano guest. */
#include "hv/boot.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

#include "hv/layout.h"

#define BOOT_STACKS (GUEST_LOW_BYTES - GUEST_MAX_VCPUS * GUEST_STACK_BYTES)
_Static_assert(HV_TASK_STATE + HV_TASK_LIMIT < GUEST_STATS,
	       "the task state has a place of its own");

#define BOOT_MAX_SEGMENTS 16

#define PTE_PRESENT (1ULL << 0)
#define PTE_WRITE   (1ULL << 1)
#define PTE_USER    (1ULL << 2)
/* Set from the start, so that no processor ever has to write a table. */
#define PTE_ACCESSED (1ULL << 5)
#define PTE_DIRTY    (1ULL << 6)
#define PTE_LARGE    (1ULL << 7)
#define PTE_NOEXEC   (1ULL << 63)
#define PTE_READ     (PTE_PRESENT | PTE_USER | PTE_ACCESSED | PTE_DIRTY)
#define PTE_TABLE    (PTE_READ | PTE_WRITE)
#define PTE_ENTRIES  512
#define PTE_ADDRESS  0x000ffffffffff000ULL
#define TABLE_PAGES  ((GUEST_IMAGE - GUEST_TABLES) / PAGE_SIZE)
#define LEVEL_ROOT   4
#define LEVEL_REGION 2 /* an entry maps 2 MiB */
#define LEVEL_PAGE   1

u64 boot_stack_top(u32 vcpu)
{
	return BOOT_STACKS + (vcpu + 1) * GUEST_STACK_BYTES;
}

/* Segment headers are copied out, because nothing says that the image holds them aligned. */
static Elf64_Phdr image_segment(const struct boot_image *image, u32 index)
{
	Elf64_Ehdr header;
	Elf64_Phdr segment;

	memcpy(&header, image->start, sizeof(header));
	memcpy(&segment, image->start + header.e_phoff + index * sizeof(segment), sizeof(segment));
	return segment;
}

static const char *check_header(const struct boot_image *image, Elf64_Ehdr *header)
{
	u64 table_bytes;

	if (image->bytes < sizeof(*header))
		return "shorter than an ELF header";
	memcpy(header, image->start, sizeof(*header));
	if (memcmp(header->e_ident, ELFMAG, SELFMAG) || header->e_ident[EI_CLASS] != ELFCLASS64 ||
	    header->e_ident[EI_DATA] != ELFDATA2LSB)
		return "not a little-endian ELF64 file";
	if (header->e_type != ET_EXEC || header->e_machine != EM_X86_64)
		return "not a static x86-64 executable";
	if (header->e_phentsize != sizeof(Elf64_Phdr))
		return "segment headers of an unknown size";
	if (!header->e_phnum || header->e_phnum > BOOT_MAX_SEGMENTS)
		return "no segments, or too many";
	table_bytes = header->e_phnum * sizeof(Elf64_Phdr);
	if (header->e_phoff > image->bytes || table_bytes > image->bytes - header->e_phoff)
		return "segment headers beyond the end of the file";
	return NULL;
}

static const char *check_segment(const struct boot_image *image, const Elf64_Phdr *segment)
{
	if (segment->p_type == PT_INTERP || segment->p_type == PT_DYNAMIC)
		return "not static";
	if (segment->p_type != PT_LOAD || !segment->p_memsz)
		return NULL;
	if (segment->p_offset > image->bytes ||
	    segment->p_filesz > image->bytes - segment->p_offset)
		return "a segment beyond the end of the file";
	if (segment->p_filesz > segment->p_memsz)
		return "a segment larger in the file than in memory";
	if (segment->p_vaddr < GUEST_IMAGE || segment->p_vaddr > BOOT_STACKS ||
	    segment->p_memsz > BOOT_STACKS - segment->p_vaddr)
		return "a segment outside the guest's image area";
	return NULL;
}

static bool segment_runs(const Elf64_Phdr *segment, u64 address)
{
	return segment->p_type == PT_LOAD && segment->p_flags & PF_X &&
	       address >= segment->p_vaddr && address - segment->p_vaddr < segment->p_filesz;
}

int boot_check_image(const struct boot_image *image, u64 *entry, const char **why)
{
	bool entered = false;
	Elf64_Ehdr header;

	*why = check_header(image, &header);
	if (*why)
		return -ENOEXEC;
	for (u32 i = 0; i < header.e_phnum; i++) {
		Elf64_Phdr segment = image_segment(image, i);

		*why = check_segment(image, &segment);
		if (*why)
			return -ENOEXEC;
		entered |= segment_runs(&segment, header.e_entry);
	}
	*entry = header.e_entry;
	if (entered)
		return 0;
	*why = "an entry point outside its code";
	return -ENOEXEC;
}

/* The image area lies in low memory, which is one region whatever the size of RAM. */
void boot_load_image(const struct ram *ram, const struct boot_image *image)
{
	Elf64_Ehdr header;

	memcpy(&header, image->start, sizeof(header));
	for (u32 i = 0; i < header.e_phnum; i++) {
		Elf64_Phdr segment = image_segment(image, i);
		u8 *to = ram->base + segment.p_vaddr;

		if (segment.p_type != PT_LOAD || !segment.p_memsz)
			continue;
		memcpy(to, image->start + segment.p_offset, segment.p_filesz);
		memset(to + segment.p_filesz, 0, segment.p_memsz - segment.p_filesz);
	}
}

int boot_check_size(u64 ram_bytes, u64 data_bytes)
{
	/* The root, the 512 GiB that all lies in, low memory's pages, the registers' two levels. */
	u64 fixed = 5;
	u64 directories;

	if (ram_bytes <= GUEST_LOW_BYTES || ram_bytes % REGION_SIZE)
		return -EINVAL;
	if (ram_bytes > GUEST_MMIO || data_bytes > GUEST_MMIO)
		return -E2BIG;
	directories = (ram_bytes + GiB - 1) / GiB + (data_bytes + GiB - 1) / GiB;
	return fixed + directories > TABLE_PAGES ? -E2BIG : 0;
}

/* Page tables under construction: table pages are handed out in order, the root first. */
struct tables {
	u8 *base; /* host address of guest-physical 0 */
	u64 next; /* guest-physical address of the next free table page */
};

static u64 *tables_page(struct tables *tables, u64 gpa)
{
	return (u64 *)(tables->base + gpa);
}

static u64 tables_new(struct tables *tables)
{
	u64 gpa = tables->next;

	memset(tables_page(tables, gpa), 0, PAGE_SIZE);
	tables->next += PAGE_SIZE;
	return gpa;
}

/* Maps one page, at LEVEL_PAGE, or one region, at LEVEL_REGION. */
static void tables_map(struct tables *tables, u64 virtual, u64 physical, u32 level, u64 flags)
{
	u64 *table = tables_page(tables, GUEST_TABLES);
	u32 at = LEVEL_ROOT;

	for (;; at--) {
		u64 *entry = &table[virtual >> (PAGE_SHIFT + 9 * (at - 1)) & (PTE_ENTRIES - 1)];

		if (at == level) {
			*entry = physical | flags | (level == LEVEL_REGION ? PTE_LARGE : 0);
			return;
		}
		if (!*entry)
			*entry = tables_new(tables) | PTE_TABLE;
		table = tables_page(tables, *entry & PTE_ADDRESS);
	}
}

static bool in_task_state(u64 at)
{
	return at >= HV_TASK_STATE && at <= HV_TASK_STATE + HV_TASK_LIMIT;
}

/*
 * Low memory goes by small pages, to leave out what the guest should trip over: the null page, and
 * the page tables themselves, which it has no business with.
 */
static void map_low(struct tables *tables)
{
	for (u64 at = PAGE_SIZE; at < GUEST_LOW_BYTES; at += PAGE_SIZE) {
		u64 noexec = at < GUEST_IMAGE || at >= BOOT_STACKS ? PTE_NOEXEC : 0;
		u64 write = in_task_state(at) ? 0 : PTE_WRITE;

		if (at >= GUEST_TABLES && at < GUEST_IMAGE)
			continue;
		tables_map(tables, at, at, LEVEL_PAGE, PTE_READ | write | noexec);
	}
}

/* Intel SDM vol. 1, 19.5.2: a clear bit permits a port; the map starts where the word at 102 says. */
void boot_write_task_state(const struct ram *ram)
{
	u8 *task = ram->base + HV_TASK_STATE;
	const u16 map = HV_TASK_BYTES;

	memset(task, 0, HV_TASK_LIMIT);
	memcpy(task + 102, &map, sizeof(map));
	task[HV_TASK_LIMIT] = UINT8_MAX;
}

void boot_build_tables(const struct ram *ram, u64 data_bytes)
{
	struct tables tables = {.base = ram->base, .next = GUEST_TABLES};
	u64 data_gpa = layout_data_gpa(ram->bytes);

	tables_new(&tables);
	map_low(&tables);
	for (u64 at = GUEST_LOW_BYTES; at < ram->bytes; at += REGION_SIZE)
		tables_map(&tables, at, layout_ram_gpa(at), LEVEL_REGION,
			   PTE_READ | PTE_WRITE | PTE_NOEXEC);
	tables_map(&tables, GUEST_MMIO, HV_MMIO_GPA, LEVEL_PAGE, PTE_READ | PTE_WRITE | PTE_NOEXEC);
	tables_map(&tables, GUEST_BALLOON, HV_BALLOON_GPA, LEVEL_PAGE,
		   PTE_READ | PTE_WRITE | PTE_NOEXEC);
	/* The last region may be only partly backed; behind the data it reads as ones. */
	for (u64 at = 0; at < data_bytes; at += REGION_SIZE)
		tables_map(&tables, GUEST_DATA + at, data_gpa + at, LEVEL_REGION,
			   PTE_READ | PTE_NOEXEC);
}
