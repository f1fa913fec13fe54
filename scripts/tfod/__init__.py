"""What two or more of the scripts share. Modules import downwards only, see each module's first line."""
