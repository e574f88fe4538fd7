/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running a kernel under KVM: a PC with as little in it as a kernel gets by with. One processor, KVM's
 * interrupt controllers and timer, a serial port for its console, and no bus on which it could look
 * for more: further devices are named on its command line.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "hv/accel.h"
#include "hv/guest.h"
#include "hv/kvm_pc.h"
#include "hv/layout.h"
#include "hv/uart.h"
#include "hv/vcpu.h"

struct accel_pc {
	struct accel accel;
	struct kvm_guest kvm;
	struct vcpu vcpu;
	struct uart uart;
	int uart_irq, balloon_irq;
};

#define BALLOON_IRQ 5

static struct accel_pc *of_accel(struct accel *accel)
{
	return container_of(accel, struct accel_pc, accel);
}

static int add_uart(struct accel_pc *pc)
{
	struct hv_guest *guest = pc->kvm.guest;
	int err;

	pc->uart_irq = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (pc->uart_irq < 0)
		return -errno;
	uart_init(&pc->uart, &guest->console, guest->notify, pc->uart_irq);
	err = bus_add(&pc->kvm.port_bus, UART_PORT, UART_PORTS, &pc->uart.device);
	return err ? err : kvm_pc_add_interrupt(&pc->kvm.vm, UART_IRQ, pc->uart_irq);
}

static int add_balloon(struct accel_pc *pc)
{
	struct hv_balloon *balloon = pc->kvm.guest->balloon;
	int err;

	if (!balloon)
		return 0;
	pc->balloon_irq = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (pc->balloon_irq < 0)
		return -errno;
	hv_balloon_set_irq(balloon, pc->balloon_irq);
	err = kvm_pc_add_interrupt(&pc->kvm.vm, BALLOON_IRQ, pc->balloon_irq);
	return err ? err : kvm_guest_add_balloon(&pc->kvm, balloon);
}

static int add_devices(struct accel_pc *pc)
{
	int err = add_uart(pc);

	return err ? err : add_balloon(pc);
}

static int add_vcpu(struct accel_pc *pc)
{
	int fd = kvm_pc_create_vcpu(&pc->kvm.vm, (u32)pc->kvm.guest->kernel.entry,
				    gpa(PVH_START_INFO));

	return fd < 0 ? fd : vcpu_adopt(&pc->vcpu, &pc->kvm, 0, fd);
}

static void close_irq(int irq)
{
	if (irq >= 0)
		close(irq);
}

static void accel_pc_destroy(struct accel *base)
{
	struct accel_pc *pc = of_accel(base);

	vcpu_destroy(&pc->vcpu);
	kvm_vm_close(&pc->kvm.vm);
	close_irq(pc->uart_irq);
	close_irq(pc->balloon_irq);
	free(pc);
}

static int accel_pc_create(struct hv_guest *guest, struct accel **created, const char **why)
{
	struct accel_pc *pc = calloc(1, sizeof(*pc));
	int err;

	*why = "out of memory";
	if (!pc)
		return -ENOMEM;
	pc->accel.ops = &accel_pc_ops;
	pc->kvm.guest = guest;
	pc->uart_irq = pc->balloon_irq = -1;
	err = kvm_vm_open(&pc->kvm.vm, why);
	if (err)
		goto destroy;
	err = kvm_pc_add_chips(&pc->kvm.vm, why);
	if (err)
		goto destroy;
	*why = "cannot give the virtual machine its memory";
	err = kvm_vm_add_ram(&pc->kvm.vm, &guest->ram);
	if (err)
		goto destroy;
	*why = "cannot add the guest's devices";
	err = add_devices(pc);
	if (err)
		goto destroy;
	*why = "cannot make a vCPU";
	err = add_vcpu(pc);
	if (err)
		goto destroy;
	guest->tsc_khz = kvm_vcpu_tsc_khz(pc->vcpu.fd);
	*created = &pc->accel;
	return 0;
destroy:
	accel_pc_destroy(&pc->accel);
	return err;
}

/* The user's command line, and what the kernel cannot find out: there is nothing to ask, and measuring
 * time takes a processor of its own. What the user says comes last, and so goes first. */
static void accel_pc_boot(struct accel *accel)
{
	const struct hv_guest *guest = of_accel(accel)->kvm.guest;
	char cmdline[PVH_CMDLINE_MAX];
	int used = 0;

	if (guest->balloon)
		used = snprintf(cmdline, sizeof(cmdline), "virtio_mmio.device=4K@0x%lx:%u ",
				HV_BALLOON_GPA, BALLOON_IRQ);
	if (guest->tsc_khz)
		used += snprintf(cmdline + used, sizeof(cmdline) - (size_t)used,
				 "tsc_early_khz=%llu ", (unsigned long long)guest->tsc_khz);
	snprintf(cmdline + used, sizeof(cmdline) - (size_t)used, "%s", guest->config.args);
	pvh_write_start_info(&guest->ram, cmdline);
}

static void accel_pc_run(struct accel *accel, u32 vcpu)
{
	(void)vcpu;
	vcpu_run(&of_accel(accel)->vcpu);
}

static void accel_pc_kick(struct accel *accel, u32 vcpu)
{
	(void)vcpu;
	vcpu_kick(&of_accel(accel)->vcpu);
}

const struct accel_ops accel_pc_ops = {
	.name = "kvm",
	.kind = ATTACH_ACCEL_KVM,
	.create = accel_pc_create,
	.boot = accel_pc_boot,
	.run = accel_pc_run,
	.kick = accel_pc_kick,
	.destroy = accel_pc_destroy,
};
