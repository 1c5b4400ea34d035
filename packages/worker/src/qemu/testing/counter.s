# A guest of one disk sector, in real mode: it runs wherever a processor is virtualised at all. It counts in a 32-bit
# word at 0x9000, leaves a trail of the count in 64 KiB at 0x20000, and prints a letter on the serial port now and then.
# A byte at 0x8ff0 tells it to restart (1) or to power itself off (2).
# With the symbol `kernel` it is what QEMU's -kernel takes: the same code behind the header of Linux's boot protocol 2.0,
# with a rest after every 8192 counts.
        .code16
        .globl  _start
        .set    counter, 0x9000
        .set    trail, 0x2000
        .set    serial, 0x3f8
        .set    pause, 0x1fff
        .set    order, 0x8ff0
        .set    keyboard, 0x64          # its controller resets the processor
        .set    power, 0x604            # the ACPI control register of a q35
        .ifdef  kernel
        .org    0x1f1
        .byte   1                       # sectors that run in real mode, after this one
        .org    0x1fe
        .word   0xaa55
        jmp     _start
        .ascii  "HdrS"
        .word   0x0200                  # version of the protocol: a file for the initial RAM disk is possible
        .org    0x240
        .endif
_start: cli
        cld
        xorw    %ax, %ax
        movw    %ax, %ds
        movw    %ax, %ss
        movw    $0x7c00, %sp
        movw    $trail, %ax
        movw    %ax, %es
        movl    $0, counter
        movb    $0, order
next:   cmpb    $0, order
        jne     obey
        incl    counter
        movl    counter, %eax
        movw    %ax, %di
        shlw    $2, %di
        movl    %eax, %es:(%di)
        testl   $pause, %eax
        jnz     next
        movw    $serial, %dx
        shrl    $13, %eax
        andb    $15, %al
        addb    $'a', %al
        outb    %al, %dx
        .ifdef  kernel
        sti                             # until the timer of the BIOS ticks: it leaves the processor to others
        hlt
        cli
        .endif
        jmp     next
obey:   cmpb    $1, order
        jne     off
        movb    $0xfe, %al
        outb    %al, $keyboard
        jmp     halt                    # it takes effect a moment later
off:    movw    $power, %dx
        movw    $0x2000, %ax            # S5, soft off
        outw    %ax, %dx
halt:   hlt
        jmp     halt
        .ifdef  kernel
        .org    0x600                   # the sector in real mode, and one in protected mode that is never entered
        .else
        .org    510
        .word   0xaa55
        .endif
