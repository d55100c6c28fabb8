//go:build unix

package token

import (
	"os"
	"syscall"
)

// lockFolder fails if another process has locked the folder. The lock lasts until the folder is
// closed or the process ends.
func lockFolder(folder *os.File) error {
	return syscall.Flock(int(folder.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
}
