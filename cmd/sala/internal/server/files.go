package server

// Of the files that the process may open, a tenth is kept from clients, within
// these bounds: for the control API, Redis, and what else has to go on when
// there are as many clients as there can be.
const (
	minReserve = 64
	maxReserve = 1024
)

// placesFor returns how many clients there is place for if the process may open
// so many files.
func placesFor(files int64) int64 {
	reserve := min(max(files/10, minReserve), maxReserve)
	return max(files-reserve, files/2)
}

// connectionLimit returns how many connections the public listener may have: as
// many as it was asked for, or else, and at the most, as there are places.
func (s *Server) connectionLimit() int64 {
	asked, files := s.cfg.Flags.MaxConnections, maxOpenFiles()
	places := placesFor(files)
	switch {
	case asked > places:
		s.log.Warn("--max-connections is more than the open files allow; raise the hard limit of those", "max_connections", asked, "open_files", files, "used", places)
		return places
	case asked > 0:
		return asked
	default:
		return places
	}
}
