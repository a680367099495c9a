! Makes an image smaller: reads a PGM or PPM file, takes the mean of each K x K block of each channel, rounded to the
! nearest integer, and writes a file of the same kind.
!
!     gfortran average.f90 $(pkg-config --libs fastpool) -o average
!     ./average in.ppm out.ppm 8
!
! Fortran's first index runs fastest, C's last: an array x(width, height, channels) is in memory what fastpool.h calls
! channels x height x width. So arrays are passed as they are, with their sizes in reverse order.

module fastpool
  use, intrinsic :: iso_c_binding
  implicit none

  integer(c_int), parameter :: FASTPOOL_OK = 0

  interface
    pure function fastpool_output_size(size, kernel, stride, padding) bind(c)
      import :: c_int64_t
      integer(c_int64_t), value, intent(in) :: size, kernel, stride, padding
      integer(c_int64_t) :: fastpool_output_size
    end function

    function fastpool_avg_pool2d_f32(x, y, batch, channels, height, width, kernel, stride, padding, threads) bind(c)
      import :: c_float, c_int, c_int64_t
      real(c_float), intent(in) :: x(*)
      real(c_float), intent(out) :: y(*)
      integer(c_int64_t), value, intent(in) :: batch, channels, height, width, kernel, stride, padding
      integer(c_int), value, intent(in) :: threads
      integer(c_int) :: fastpool_avg_pool2d_f32
    end function

    function fastpool_status_text(status) bind(c)
      import :: c_int, c_ptr
      integer(c_int), value, intent(in) :: status
      type(c_ptr) :: fastpool_status_text
    end function

    pure function strlen(text) bind(c)
      import :: c_ptr, c_size_t
      type(c_ptr), value, intent(in) :: text
      integer(c_size_t) :: strlen
    end function
  end interface

contains

  function status_text(status) result(text)
    integer(c_int), intent(in) :: status
    character(:), allocatable :: text
    character(kind=c_char), pointer :: letters(:)
    integer :: i
    call c_f_pointer(fastpool_status_text(status), letters, [strlen(fastpool_status_text(status))])
    text = repeat(' ', size(letters))
    do i = 1, size(letters)
      text(i:i) = letters(i)
    end do
  end function
end module

program average
  use fastpool
  implicit none
  character(4096) :: from, to, word
  character :: kind(2)
  character, allocatable :: pixels(:, :, :) ! the channels of a pixel together, as in the file
  real(c_float), allocatable :: x(:, :, :), y(:, :, :)
  integer(c_int64_t) :: k, width, height, most, channels, channel
  integer(c_int) :: status
  integer :: unit, error

  call get_command_argument(1, from)
  call get_command_argument(2, to)
  call get_command_argument(3, word)
  read (word, *, iostat=error) k
  if (error /= 0 .or. k < 1) call fail('usage: average IN.ppm OUT.ppm K')

  open (newunit=unit, file=from, access='stream', form='unformatted', status='old', action='read', iostat=error)
  if (error == 0) read (unit, iostat=error) kind
  if (error /= 0) call fail(trim(from) // ': cannot be read')
  channels = merge(3, 1, kind(2) == '6')
  width = number()
  height = number()
  most = number()
  if (kind(1) /= 'P' .or. scan(kind(2), '56') == 0 .or. min(width, height) < 1 .or. most /= 255) &
    call fail(trim(from) // ': not an image of 8 bits a channel (P5 or P6)')
  allocate (pixels(channels, width, height))
  read (unit, iostat=error) pixels
  if (error /= 0) call fail(trim(from) // ': shorter than it says')
  close (unit)

  allocate (x(width, height, channels))
  allocate (y(smaller(width), smaller(height), channels))
  do channel = 1, channels
    x(:, :, channel) = real(ichar(pixels(channel, :, :)), c_float)
  end do
  status = fastpool_avg_pool2d_f32(x, y, 1_c_int64_t, channels, height, width, k, k, 0_c_int64_t, 0_c_int)
  if (status /= FASTPOOL_OK) call fail(trim(from) // ': ' // status_text(status))

  open (newunit=unit, file=to, access='stream', form='unformatted', status='replace', action='write', iostat=error)
  if (error /= 0) call fail(trim(to) // ': cannot be written')
  write (word, '(3a, i0, 1x, i0, 2a)') kind, new_line('a'), size(y, 1), size(y, 2), new_line('a'), '255'
  write (unit) trim(word) // new_line('a')
  write (unit) reshape(char(nint(y)), [size(y, 3), size(y, 1), size(y, 2)], order=[2, 3, 1])
  close (unit)

contains

  pure integer(c_int64_t) function smaller(size)
    integer(c_int64_t), intent(in) :: size
    smaller = fastpool_output_size(size, k, k, 0_c_int64_t)
  end function

  ! The next number of the header, past white space and comments, with the character behind it; or 0.
  integer(c_int64_t) function number()
    character :: c
    logical :: comment
    number = 0
    comment = .false.
    do
      read (unit, iostat=error) c
      if (error /= 0 .or. number > 2**24) return
      if (comment .or. c == '#') then
        comment = c /= new_line(c)
      else if (c >= '0' .and. c <= '9') then
        number = 10 * number + ichar(c) - ichar('0')
      else if (number > 0 .and. is_space(c)) then
        return
      else if (.not. is_space(c)) then
        number = 0
        return
      end if
    end do
  end function

  pure logical function is_space(c)
    character, intent(in) :: c
    is_space = c == ' ' .or. (c >= achar(9) .and. c <= achar(13))
  end function

  subroutine fail(text)
    use, intrinsic :: iso_fortran_env, only: error_unit
    character(*), intent(in) :: text
    write (error_unit, '(a)') text
    stop 1
  end subroutine
end program
