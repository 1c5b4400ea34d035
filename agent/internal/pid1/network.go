package pid1

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"unsafe"

	"opencomputer.dev/agent/internal/linux"
)

// Every machine has these addresses, each in its own network.
var (
	guestAddress = [4]byte{172, 30, 0, 2}
	guestNetmask = [4]byte{255, 255, 255, 252}
	hostAddress  = [4]byte{172, 30, 0, 1}
)

const (
	guestInterface = "eth0"
	routeUp        = 0x1 // RTF_UP
	routeGateway   = 0x2 // RTF_GATEWAY
)

// interfaceRequest is struct ifreq.
type interfaceRequest struct {
	name  [syscall.IFNAMSIZ]byte
	value [24]byte
}

// routeRequest is struct rtentry.
type routeRequest struct {
	_                             uint64
	destination, gateway, netmask [16]byte
	flags                         uint16
	_                             [6]byte
	_                             [16]byte
	metric                        int16
	_                             [6]byte
	device                        uintptr
	_                             [24]byte
}

// configureNetwork brings up the loopback and the guest's interface with its fixed
// address and default route. An interface that is up already is not changed.
func configureNetwork() error {
	socket, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer syscall.Close(socket)
	if err := interfaceUp(socket, "lo"); err != nil {
		return err
	}
	if err := setAddress(socket, syscall.SIOCSIFADDR, guestAddress); err != nil {
		return err
	}
	if err := setAddress(socket, syscall.SIOCSIFNETMASK, guestNetmask); err != nil {
		return err
	}
	if err := interfaceUp(socket, guestInterface); err != nil {
		return err
	}
	route := routeRequest{flags: routeUp | routeGateway}
	putAddress(route.destination[:], [4]byte{})
	putAddress(route.netmask[:], [4]byte{})
	putAddress(route.gateway[:], hostAddress)
	err = linux.Ioctl(uintptr(socket), syscall.SIOCADDRT, unsafe.Pointer(&route))
	if err != nil && !errors.Is(err, syscall.EEXIST) {
		return fmt.Errorf("default route: %w", err)
	}
	return nil
}

func interfaceUp(socket int, name string) error {
	var request interfaceRequest
	copy(request.name[:], name)
	if err := linux.Ioctl(uintptr(socket), syscall.SIOCGIFFLAGS, unsafe.Pointer(&request)); err != nil {
		return fmt.Errorf("interface %s: %w", name, err)
	}
	flags := binary.NativeEndian.Uint16(request.value[:])
	binary.NativeEndian.PutUint16(request.value[:], flags|syscall.IFF_UP)
	if err := linux.Ioctl(uintptr(socket), syscall.SIOCSIFFLAGS, unsafe.Pointer(&request)); err != nil {
		return fmt.Errorf("interface %s up: %w", name, err)
	}
	return nil
}

func setAddress(socket int, request uintptr, address [4]byte) error {
	var change interfaceRequest
	copy(change.name[:], guestInterface)
	putAddress(change.value[:], address)
	if err := linux.Ioctl(uintptr(socket), request, unsafe.Pointer(&change)); err != nil {
		return fmt.Errorf("address of %s: %w", guestInterface, err)
	}
	return nil
}

// putAddress writes a struct sockaddr_in.
func putAddress(into []byte, address [4]byte) {
	binary.NativeEndian.PutUint16(into, syscall.AF_INET)
	copy(into[4:8], address[:])
}

// configureResolver sets the host as DNS server, unless the file, with links
// followed, names a server already.
func configureResolver(path string) error {
	text, err := linux.ReadSmallFile(path, 64<<10)
	if err == nil && strings.Contains(string(text), "nameserver") {
		return nil
	}
	if errors.Is(err, os.ErrNotExist) {
		// It may be a link into a directory that only another init makes.
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	server := fmt.Sprintf("nameserver %d.%d.%d.%d\n", hostAddress[0], hostAddress[1], hostAddress[2], hostAddress[3])
	return linux.WriteSmallFile(path, []byte(server))
}
