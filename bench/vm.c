/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/vm.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hv/boot.h"
#include "lib/clock.h"

/* Guest addresses, all in the first region: order and times behind the code, below the stacks. */
#define VM_CODE	 GUEST_IMAGE
#define VM_GAPS	 (GUEST_IMAGE + 0x8000)
#define VM_ORDER (GUEST_IMAGE + 0x10000)
#define VM_TICKS (VM_ORDER + ORDER_MAX * sizeof(u32))
_Static_assert(VM_TICKS + ORDER_MAX * sizeof(u32) <=
		       GUEST_LOW_BYTES - GUEST_MAX_VCPUS * GUEST_STACK_BYTES,
	       "order and times fit");

/* Both end by a write to a port, which brings KVM_RUN back; neither depends on where it lies. */
__asm__(".pushsection .rodata\n"
	/* rsi: page numbers, rdi: times, r12: how many; rdtscp takes rax, rdx and rcx */
	"vm_touch_code:\n"
	"0:	movl (%rsi), %ebx\n"
	"	shlq $12, %rbx\n"
	"	rdtscp\n"
	"	shlq $32, %rdx\n"
	"	leaq (%rdx, %rax), %r8\n"
	"	movb (%rbx), %r10b\n"
	"	rdtscp\n"
	"	shlq $32, %rdx\n"
	"	orq %rdx, %rax\n"
	"	subq %r8, %rax\n"
	"	movl %eax, (%rdi)\n"
	"	addq $4, %rsi\n"
	"	addq $4, %rdi\n"
	"	decl %r12d\n"
	"	jnz 0b\n"
	"	movw $0x604, %dx\n"
	"	outl %eax, %dx\n"
	"1:	jmp 1b\n"
	"vm_touch_end:\n"
	/* rsi: first byte, rdi: end, r13: word to look at, r14: threshold; sums in r8, r9, r10 */
	"vm_watch_code:\n"
	"	movq %rsi, %rbx\n"
	"	rdtscp\n"
	"	shlq $32, %rdx\n"
	"	leaq (%rdx, %rax), %r11\n"
	"2:	movb (%rbx), %r15b\n"
	"	addq $4096, %rbx\n"
	"	cmpq %rdi, %rbx\n"
	"	cmovaeq %rsi, %rbx\n"
	"	rdtscp\n"
	"	shlq $32, %rdx\n"
	"	orq %rdx, %rax\n"
	"	movq %rax, %rdx\n"
	"	subq %r11, %rax\n"
	"	movq %rdx, %r11\n"
	"	incq %r10\n"
	"	cmpq %r14, %rax\n"
	"	jb 3f\n"
	"	addq %rax, %r8\n"
	"	cmpq %r9, %rax\n"
	"	cmovaq %rax, %r9\n"
	"3:	cmpl $0, (%r13)\n"
	"	je 2b\n"
	"	movq %r8, 8(%r13)\n"
	"	movq %r9, 16(%r13)\n"
	"	movq %r10, 24(%r13)\n"
	"	movw $0x604, %dx\n"
	"	outl %eax, %dx\n"
	"4:	jmp 4b\n"
	"vm_watch_end:\n"
	".popsection\n");
extern const u8 vm_touch_code[], vm_touch_end[], vm_watch_code[], vm_watch_end[];

static void load_code(struct vm *vm)
{
	u64 touch = (u64)(vm_touch_end - vm_touch_code);

	vm->entry[0] = VM_CODE;
	vm->entry[1] = VM_CODE + touch;
	memcpy(vm->ram->base + vm->entry[0], vm_touch_code, touch);
	memcpy(vm->ram->base + vm->entry[1], vm_watch_code, (u64)(vm_watch_end - vm_watch_code));
	boot_build_tables(vm->ram, 0);
	boot_write_task_state(vm->ram);
}

int vm_open(struct vm *vm, const struct ram *ram, const char **why)
{
	const struct kvm_entry entry = {.rip = VM_CODE, .rsp = boot_stack_top(0)};
	int err;

	*vm = (struct vm){.ram = ram, .vcpu = -1};
	load_code(vm);
	err = kvm_vm_open(&vm->kvm, why);
	if (err)
		return err;
	*why = "cannot make a virtual machine over this memory";
	for (u32 i = 0; i < ram->count && !err; i++)
		err = kvm_vm_add_memory(&vm->kvm, ram->regions[i].gpa,
					(hva_t){ram->base + ram->regions[i].offset},
					ram->regions[i].length, false);
	if (!err)
		vm->vcpu = kvm_vcpu_create(&vm->kvm, 0, &entry, gpa(GUEST_TABLES));
	if (!err && vm->vcpu < 0)
		err = vm->vcpu;
	if (!err) {
		vm->run = mmap(NULL, vm->kvm.run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
			       vm->vcpu, 0);
		err = vm->run == MAP_FAILED ? -errno : 0;
	}
	if (err)
		kvm_vm_close(&vm->kvm);
	return err;
}

void vm_close(struct vm *vm)
{
	munmap(vm->run, vm->kvm.run_bytes);
	close(vm->vcpu);
	kvm_vm_close(&vm->kvm);
}

/* Runs a program to its end, and lets KVM finish the port write it ended with. */
static int run_program(struct vm *vm, const struct kvm_regs *regs)
{
	if (ioctl(vm->vcpu, KVM_SET_REGS, regs))
		return -errno;
	while (ioctl(vm->vcpu, KVM_RUN, 0))
		if (errno != EINTR && errno != EAGAIN)
			return -errno;
	if (vm->run->exit_reason != KVM_EXIT_IO)
		return -EPROTO;
	vm->run->immediate_exit = 1;
	ioctl(vm->vcpu, KVM_RUN, 0);
	vm->run->immediate_exit = 0;
	return 0;
}

int vm_touch(struct vm *vm, struct order *order)
{
	struct kvm_regs regs = {
		.rip = vm->entry[0],
		.rsp = boot_stack_top(0),
		.rflags = 0x3002, /* IOPL 3 */
		.rsi = VM_ORDER,
		.rdi = VM_TICKS,
		.r12 = order->count,
	};
	u64 began;
	int err;

	memcpy(vm->ram->base + VM_ORDER, order->pages, order->count * sizeof(u32));
	memset(vm->ram->base + VM_TICKS, 0, order->count * sizeof(u32));
	began = clock_now_ns();
	err = run_program(vm, &regs);
	order->wall_ns = clock_now_ns() - began;
	memcpy(order->ticks, vm->ram->base + VM_TICKS, order->count * sizeof(u32));
	return err;
}

volatile u32 *vm_stop_word(const struct vm *vm)
{
	return (volatile u32 *)(vm->ram->base + VM_GAPS);
}

int vm_watch(struct vm *vm, u32 first, u32 count, u32 threshold_ticks, struct vm_gaps *gaps)
{
	const u64 *found = (const u64 *)(vm->ram->base + VM_GAPS);
	struct kvm_regs regs = {
		.rip = vm->entry[1],
		.rsp = boot_stack_top(0),
		.rflags = 0x3002,
		.rsi = first * PAGE_SIZE,
		.rdi = (first + count) * PAGE_SIZE,
		.r13 = VM_GAPS,
		.r14 = threshold_ticks,
	};
	int err = run_program(vm, &regs);

	*gaps = (struct vm_gaps){found[1], found[2], found[3]};
	return err;
}
