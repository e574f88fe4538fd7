/* SPDX-License-Identifier: Apache-2.0 */
/* Puts the linked nano guest, whose path the build gives as GUEST_ELF, into the ballast binary. */
	.section .rodata
	.balign 4096
	.globl guest_image_start
guest_image_start:
	.incbin GUEST_ELF
	.globl guest_image_end
guest_image_end:
	.byte 0

	.section .note.GNU-stack, "", @progbits
