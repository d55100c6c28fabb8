//go:build !unix

package token

import (
	"errors"
	"os"
)

// lockFolder has no equivalent here, and a journal that two processes write is worse than none.
func lockFolder(*os.File) error { return errors.ErrUnsupported }
