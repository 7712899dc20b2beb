"""HDF5 files as acme-io writes and reads them.

Lives here: h5py's low-level calls, new files that survive write errors, files that are checked
before HDF5 sees them, the frame that all files of a run share, and containers. The sub-package
`templates` makes and reads small files without the library. May import `files`, `values` and
`records`.

Other rooms of acme-io use HDF5 through functions of this one: `objects` for single objects,
`members` for values that are groups, `slabs` for parts of datasets and virtual datasets,
`many_datasets` for thousands of datasets in one file.

This room relies on behaviour of HDF5 and h5py beyond the high-level interface of h5py. No private
attribute of h5py is used. Each item is followed by the test that fails when the behaviour changes,
in `tests/hdf5/test_library.py` unless another file is named:

Properties of files and datasets (`objects`)
    - user block, written by us: `test_a_user_block_belongs_to_whoever_writes_the_file`
    - library version bounds choose the layout:
      `test_the_original_and_the_1_8_layout_begin_with_known_versions`
    - early allocation, and offsets that count the user block:
      `test_early_allocation_gives_an_offset_that_counts_the_user_block`
    - no fill values: `test_the_library_does_not_fill_early_allocated_data`
    - no timestamps: `test_equal_files_have_equal_bytes`
    - order of creation, external links: `test_members_are_listed_in_order_of_creation`
    - order of creation in groups of the original layout (`members`):
      `test_groups_of_values_list_their_members_in_order`
    - intermediate groups: `test_groups_on_a_path_are_created`
    - closing a file closes its objects: `test_closing_a_file_closes_its_objects`
    - null dataspaces: `test_datasets_without_elements_and_null_dataspaces_are_told_apart`
    - types of dtypes and texts: `test_the_translation_of_dtypes_gives_back_the_dtype`,
      `test_texts_of_fixed_and_variable_length_are_read`
    - size of attributes: `test_attributes_up_to_the_limit_fit_the_original_layout`

File drivers (`objects`, `new_file`, `checked_file`)
    - core driver with a file image, told apart by name:
      `test_file_images_are_opened_and_told_apart_by_name`
    - driver of Python file objects, and the methods it calls:
      `test_the_driver_calls_only_the_methods_of_our_file_objects`
    - a file can be closed after a failed write:
      `test_a_write_error_is_kept_until_the_library_has_closed_the_file`,
      `tests/storage/test_full_disk.py`

Bytes of the file format
    - attribute messages of version 3 (`attributes`):
      `test_the_content_of_long_attributes_is_found`; if not found, `record_lines` falls back:
      `test_the_library_writes_lines_into_an_attribute_that_is_not_found` in `test_record_lines.py`
    - space of an attribute that was created but not written (`record_lines`):
      `test_lines_are_written_where_the_library_made_room` in `test_record_lines.py`
    - superblock, object header version 1, data layout message (`templates.writing`):
      `test_there_is_a_template_for_every_kind_of_data` in `templates/test_writing.py`
    - positions of record and data in files of one structure (`templates.reading`):
      `test_both_ways_write_and_read_the_same` in `templates/test_switch.py`
"""
