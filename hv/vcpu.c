/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a vCPU. */
#include "hv/vcpu.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hv/layout.h"
#include "virtio/mmio_abi.h"

int kvm_guest_add_balloon(struct kvm_guest *owner, struct hv_balloon *balloon)
{
	int err = bus_add(&owner->mmio_bus, HV_BALLOON_GPA, VIRTIO_MMIO_BYTES,
			  hv_balloon_bus(balloon));

	if (err)
		return err;
	return kvm_vm_add_doorbell(&owner->vm, HV_BALLOON_GPA + VIRTIO_MMIO_QUEUE_NOTIFY, false,
				   hv_balloon_doorbell(balloon));
}

int vcpu_adopt(struct vcpu *vcpu, struct kvm_guest *owner, u32 index, int fd)
{
	void *run = mmap(NULL, owner->vm.run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (run == MAP_FAILED) {
		int err = -errno;

		close(fd);
		return err;
	}
	*vcpu = (struct vcpu){.owner = owner, .index = index, .fd = fd, .run = run};
	return 0;
}

int vcpu_create(struct vcpu *vcpu, struct kvm_guest *owner, u32 index)
{
	/* As if called: the stack pointer is a return address (of 0) below a 16-byte boundary. */
	const struct kvm_entry entry = {
		.rip = owner->guest->entry,
		.rsp = boot_stack_top(index) - sizeof(u64),
		.rdi = index,
	};
	int fd = kvm_vcpu_create(&owner->vm, index, &entry, gpa(GUEST_TABLES));

	return fd < 0 ? fd : vcpu_adopt(vcpu, owner, index, fd);
}

void vcpu_destroy(struct vcpu *vcpu)
{
	if (!vcpu->run)
		return;
	munmap(vcpu->run, vcpu->owner->vm.run_bytes);
	close(vcpu->fd);
	vcpu->run = NULL;
}

void vcpu_describe(const struct vcpu *vcpu, char text[VCPU_TEXT_MAX])
{
	struct kvm_regs regs = {};
	struct kvm_sregs sregs = {};

	ioctl(vcpu->fd, KVM_GET_REGS, &regs);
	ioctl(vcpu->fd, KVM_GET_SREGS, &sregs);
	snprintf(text, VCPU_TEXT_MAX, "vCPU %u at rip 0x%llx, rsp 0x%llx, cr2 0x%llx", vcpu->index,
		 regs.rip, regs.rsp, sregs.cr2);
}

static void run_failed(struct vcpu *vcpu, int err)
{
	char where[VCPU_TEXT_MAX];

	vcpu_describe(vcpu, where);
	hv_guest_fail(vcpu->owner->guest, ATTACH_EXIT_VMM, "%s: KVM_RUN failed: %s%s", where,
		      strerror(err),
		      err == EFAULT ? " (memory that should be there could not be mapped)" : "");
}

static bool vcpu_done(struct vcpu *vcpu)
{
	return hv_guest_leaving(vcpu->owner->guest) ||
	       guest_ports_exited(&vcpu->owner->ports, vcpu->index);
}

void vcpu_run(struct vcpu *vcpu)
{
	while (!vcpu_done(vcpu)) {
		if (!ioctl(vcpu->fd, KVM_RUN, 0))
			vcpu_handle_exit(vcpu);
		else if (errno != EINTR && errno != EAGAIN)
			run_failed(vcpu, errno);
	}
}

void vcpu_kick(struct vcpu *vcpu)
{
	__atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
}
