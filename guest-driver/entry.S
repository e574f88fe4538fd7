/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where every vCPU starts: rdi = its index, rsp = the top of its stack. There is nobody to return
 * to, and no frame above ours; a debugger's back trace ends at rbp = 0.
 */
	.section .text.entry, "ax"
	.globl guest_start
guest_start:
	xor	%ebp, %ebp
	and	$-16, %rsp
	call	guest_entry
	ud2

	.section .note.GNU-stack, "", @progbits
