/* SPDX-License-Identifier: Apache-2.0 */
/* Running the guest under KVM: one virtual machine, its memory slots, buses, doorbells and vCPUs. */
#include <errno.h>
#include <stdlib.h>

#include "hv/accel.h"
#include "hv/guest.h"
#include "hv/layout.h"
#include "hv/vcpu.h"

struct accel_kvm {
	struct accel accel;
	struct kvm_guest kvm;
	struct vcpu vcpus[GUEST_MAX_VCPUS];
};

static struct accel_kvm *of_accel(struct accel *accel)
{
	return container_of(accel, struct accel_kvm, accel);
}

static int add_memory(struct kvm_guest *kvm)
{
	const struct hv_guest *guest = kvm->guest;
	int err = kvm_vm_add_ram(&kvm->vm, &guest->ram);

	if (!err && guest->data)
		err = kvm_vm_add_memory(&kvm->vm, gpa(layout_data_gpa(guest->ram.bytes)),
					(hva_t){guest->data}, guest->data_bytes, true);
	return err;
}

static int add_devices(struct kvm_guest *kvm)
{
	int doorbell = kvm->guest->doorbell;
	int err = guest_ports_add(&kvm->ports, kvm->guest, &kvm->port_bus, &kvm->mmio_bus);

	if (!err)
		err = kvm_vm_add_doorbell(&kvm->vm, GUEST_PORT_DOORBELL, true, doorbell);
	if (!err)
		err = kvm_vm_add_doorbell(&kvm->vm, HV_MMIO_GPA + GUEST_MMIO_DOORBELL, false,
					  doorbell);
	if (!err && kvm->guest->balloon)
		err = kvm_guest_add_balloon(kvm, kvm->guest->balloon);
	return err;
}

static int add_vcpus(struct accel_kvm *accel)
{
	int err = 0;

	for (u32 i = 0; i < accel->kvm.guest->config.vcpus && !err; i++)
		err = vcpu_create(&accel->vcpus[i], &accel->kvm, i);
	return err;
}

static void accel_kvm_destroy(struct accel *base)
{
	struct accel_kvm *accel = of_accel(base);

	for (u32 i = 0; i < ARRAY_SIZE(accel->vcpus); i++)
		vcpu_destroy(&accel->vcpus[i]);
	kvm_vm_close(&accel->kvm.vm);
	free(accel);
}

static int accel_kvm_create(struct hv_guest *guest, struct accel **created, const char **why)
{
	struct accel_kvm *accel = calloc(1, sizeof(*accel));
	int err;

	*why = "out of memory";
	if (!accel)
		return -ENOMEM;
	accel->accel.ops = &accel_kvm_ops;
	accel->kvm.guest = guest;
	err = kvm_vm_open(&accel->kvm.vm, why);
	if (err)
		goto destroy;
	*why = "cannot give the virtual machine its memory";
	err = add_memory(&accel->kvm);
	if (err)
		goto destroy;
	*why = "cannot add the guest's devices";
	err = add_devices(&accel->kvm);
	if (err)
		goto destroy;
	*why = "cannot make a vCPU";
	err = add_vcpus(accel);
	if (err)
		goto destroy;
	guest->tsc_khz = kvm_vcpu_tsc_khz(accel->vcpus[0].fd);
	*created = &accel->accel;
	return 0;
destroy:
	accel_kvm_destroy(&accel->accel);
	return err;
}

static void accel_kvm_boot(struct accel *accel)
{
	const struct hv_guest *guest = of_accel(accel)->kvm.guest;

	boot_load_image(&guest->ram, &guest->image);
	boot_build_tables(&guest->ram, guest->data_bytes);
	boot_write_task_state(&guest->ram);
}

static void accel_kvm_run(struct accel *accel, u32 vcpu)
{
	vcpu_run(&of_accel(accel)->vcpus[vcpu]);
}

static void accel_kvm_kick(struct accel *accel, u32 vcpu)
{
	vcpu_kick(&of_accel(accel)->vcpus[vcpu]);
}

const struct accel_ops accel_kvm_ops = {
	.name = "kvm",
	.kind = ATTACH_ACCEL_KVM,
	.create = accel_kvm_create,
	.boot = accel_kvm_boot,
	.run = accel_kvm_run,
	.kick = accel_kvm_kick,
	.destroy = accel_kvm_destroy,
};
